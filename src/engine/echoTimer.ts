/**
 * Times how long an idle device takes to answer, for Pace. Echoes are sent whenever the engine comes to rest, a few each
 * time, so that a host whose readback has become slower is known before the next request.
 */
import type { Pace } from './pace.ts'

export interface EchoPort {
  /** Resolves when the device has answered after doing nothing. */
  echo(): Promise<void>
  now(): number
  /** Number of the idle period, another one after each run; null while the engine runs or has stopped for good. */
  idlePeriod(): number | null
}

/** Echoes of one rest, of which the shortest counts. */
const NUM_ECHOES = 3

export class EchoTimer {
  readonly #port: EchoPort
  readonly #pace: Pace
  #isListening = false
  /** Settles when no echo is on its way. */
  done: Promise<void> = Promise.resolve()

  constructor(port: EchoPort, pace: Pace) {
    this.#port = port
    this.#pace = pace
  }

  /** The engine has come to rest. */
  listen(): void {
    if (this.#pace.isAdaptive && !this.#isListening) this.done = this.#listen()
  }

  async #listen(): Promise<void> {
    const { echo, now, idlePeriod } = this.#port
    let times: number[] = []
    this.#isListening = true
    try {
      let rest: number | null = null
      for (let period = idlePeriod(); period !== null && times.length < NUM_ECHOES; period = idlePeriod()) {
        // What another rest began, this one does not go on with: the readback may have become slower since.
        if (period !== rest) times = []
        rest = period
        const askedAt = now()
        await echo()
        if (idlePeriod() === period) times.push(now() - askedAt)
      }
    } catch {
      // A device that fails says so at the next step.
    } finally {
      this.#isListening = false
    }
    if (times.length > 0) this.#pace.echoed(times)
  }
}
