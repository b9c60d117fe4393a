/**
 * Dawn in Node asks in every turn of the event loop whether the GPU is done (setImmediate in AsyncRunner.cpp of dawn/node;
 * webgpu 0.6.2, noted 2026-11-22). So who waits keeps a core busy: on two cores it takes a software device a third of them, and
 * with a GPU it is heat; in Deno, whose turns cost more, it takes most of them. While a wait lasts, each turn therefore ends with a
 * nap: a quarter of the time in which nothing has come, half a millisecond at most. A result is noticed that much later, and the
 * device does not wait for it, having the next step already. To go when dawn/node waits without asking.
 */

/** What is here sooner is not worth a nap. */
const LEAST_WAIT_MS = 0.5
const SHARE = 1 / 4
/** Everything else in the process waits for it, too. */
const LONGEST_MS = 0.5

/** What the naps are made of: the process, or in tests something that only says so. */
export interface NapPort {
  now(): number
  /** Blocks the thread. */
  sleep(ms: number): void
  /** Calls back in the next turn of the event loop. */
  nextTurn(callback: () => void): void
}

export class Napper {
  readonly #port: NapPort
  #numWaiting = 0
  #isRunning = false
  /** When a wait last began or ended. */
  #quietSince = 0

  constructor(port: NapPort = processPort()) {
    this.#port = port
  }

  /** `wait`, with naps until it is over. */
  async during<Result>(wait: Promise<Result>): Promise<Result> {
    this.#numWaiting++
    this.#quietSince = this.#port.now()
    if (!this.#isRunning) this.#run()
    try {
      return await wait
    } finally {
      this.#numWaiting--
      this.#quietSince = this.#port.now()
    }
  }

  #run(): void {
    this.#isRunning = true
    const { now, sleep, nextTurn } = this.#port
    const turn = (): void => {
      if (this.#numWaiting === 0) {
        this.#isRunning = false
        return
      }
      const waited = now() - this.#quietSince
      if (waited >= LEAST_WAIT_MS) sleep(Math.min(LONGEST_MS, waited * SHARE))
      nextTurn(turn)
    }
    nextTurn(turn)
  }
}

function processPort(): NapPort {
  const nobody = new Int32Array(new SharedArrayBuffer(4))
  return {
    now: () => performance.now(),
    sleep: (ms) => void Atomics.wait(nobody, 0, 0, ms), // nobody wakes it: it ends by its time
    nextTurn: (callback) => void setImmediate(callback),
  }
}
