/** Time for what waits for it: the watch over a directory. */
import type { Clock } from '../../src/lora/directory.ts'

/** Time that passes when the test says so. */
export class TestClock implements Clock {
  #waits: { left: number; resolve: () => void }[] = []

  wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        signal.removeEventListener('abort', end)
        resolve()
      }
      signal.addEventListener('abort', end)
      this.#waits.push({ left: ms, resolve: end })
    })
  }

  /** Lets `ms` pass, in steps no longer than a wait, each to its end. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; ) {
      await until(() => this.#waits.length > 0)
      const [wait] = this.#waits.splice(0)
      const step = Math.min(left, wait!.left)
      left -= step
      if (step < wait!.left) this.#waits.push({ ...wait!, left: wait!.left - step })
      else {
        wait!.resolve()
        // The look is over when the next wait begins.
        await until(() => this.#waits.length > 0)
      }
    }
  }
}

export async function until(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((resolve) => setImmediate(resolve))
}
