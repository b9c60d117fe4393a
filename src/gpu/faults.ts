/**
 * Accidents on purpose: what drivers do too rarely, and software devices never, for a test to wait for it. A Gpu that was
 * opened with `faults` in its wish meets them where the real ones would be met. For tests and measurements only.
 */
export class Faults {
  /** Milliseconds by which every result of a step comes late. The device goes on meanwhile. */
  readbackDelayMs = 0
  #allocationsLeft = Infinity
  #readbacksLeft = Infinity
  #device: GPUDevice | null = null

  /** The n-th allocation from now (1 is the next) finds no memory. */
  failAllocation(n = 1): void {
    this.#allocationsLeft = n
  }

  /** The n-th result from now (1 is the next) cannot be read. */
  failReadback(n = 1): void {
    this.#readbacksLeft = n
  }

  /** Takes the device away. */
  loseDevice(): void {
    this.#device?.destroy()
  }

  /** Called by the Gpu that meets these faults. */
  attach(device: GPUDevice): void {
    this.#device = device
  }

  /** Called at each allocation. @throws what a device without memory reports */
  onAllocation(): void {
    if (--this.#allocationsLeft === 0) throw new Error('Injected: out of memory')
  }

  /** Called when a result is there; resolves when it may be handed out. @throws what a failed mapping reports */
  async onReadback(): Promise<void> {
    const fails = --this.#readbacksLeft === 0
    const delay = this.readbackDelayMs
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay))
    if (fails) throw new Error('Injected: the buffer cannot be mapped')
  }
}
