/**
 * Firefox looks whether the GPU is done every 100 ms, and whenever something is submitted (Mozilla bug 1870699; measured by
 * others as 103 ms for any readback with Firefox 153, ekzhang/jax-js#124; noted 2026-11-22). So while somebody waits, nothing
 * is submitted about once a millisecond. To go when the bug is closed in the oldest Firefox that matters.
 */

/** More often, and the messages to Firefox's GPU process pile up. */
const INTERVAL_MS = 1

export class Nudger {
  readonly #submitNothing: () => void
  #numWaiting = 0
  #isRunning = false

  constructor(submitNothing: () => void) {
    this.#submitNothing = submitNothing
  }

  /** `wait`, with nudges until it is over. */
  async during<Result>(wait: Promise<Result>): Promise<Result> {
    this.#numWaiting++
    if (!this.#isRunning) this.#run()
    try {
      return await wait
    } finally {
      this.#numWaiting--
    }
  }

  /** Goes round by messages, because browsers let timers wait 4 ms, and in hidden pages a second. */
  #run(): void {
    this.#isRunning = true
    const { port1, port2 } = new MessageChannel()
    let nudgedAt = performance.now()
    port1.onmessage = () => {
      if (this.#numWaiting === 0) {
        this.#isRunning = false
        port1.close()
        return
      }
      const now = performance.now()
      if (now - nudgedAt >= INTERVAL_MS) {
        nudgedAt = now
        this.#submitNothing()
      }
      port2.postMessage(null)
    }
    port2.postMessage(null)
  }
}
