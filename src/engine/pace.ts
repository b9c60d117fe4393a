/**
 * How many steps are kept in flight. The device has work while the readback of a step is on its way if the others in
 * flight take as long as that: depth = 1 + readback / step, rounded up. More would only make newcomers wait.
 *
 * The readback is timed with an echo on an idle device, for from a busy one it cannot be told apart from the queue. The
 * step follows from it: a result comes one step after the one before, or one step and a readback after its submission if
 * the device had nothing to do by then; the shorter of the two is the step.
 */
import { invariant } from '../errors.ts'
import { MAX_IN_FLIGHT } from './batch.ts'

/** Before anything is known: one step is prepared while another runs. */
const FIRST_DEPTH = 2
/** Steps that are remembered; the median of them counts, since a chunk of a prompt says little about the next token. */
const NUM_STEPS = 15

export class Pace {
  readonly #fixed: number | null
  #readbackMs: number | null = null
  readonly #stepsMs: number[] = []
  #lastArrival = -Infinity

  /** `fixed`: this many steps, whatever the times. */
  constructor(fixed: number | null = null) {
    const isPossible = fixed === null || (Number.isInteger(fixed) && fixed >= 1 && fixed <= MAX_IN_FLIGHT)
    invariant(isPossible, `${fixed} steps cannot be in flight`)
    this.#fixed = fixed
  }

  /** Steps in flight, 1 to MAX_IN_FLIGHT. */
  get depth(): number {
    if (this.#fixed !== null) return this.#fixed
    const { readbackMs, stepMs } = this
    if (readbackMs === null || stepMs === null) return FIRST_DEPTH
    return Math.min(MAX_IN_FLIGHT, 1 + Math.max(1, Math.ceil(readbackMs / stepMs)))
  }

  /** Whether times are of any use. */
  get isAdaptive(): boolean {
    return this.#fixed === null
  }

  get readbackMs(): number | null {
    return this.#readbackMs
  }

  get stepMs(): number | null {
    return this.#stepsMs.toSorted((one, other) => one - other)[this.#stepsMs.length >> 1] ?? null
  }

  /** An idle device has answered echoes, in so many ms. The shortest counts: the others met something else. */
  echoed(times: readonly number[]): void {
    this.#readbackMs = Math.min(...times)
  }

  /** The result of a step has come. Times in ms. */
  arrived(submittedAt: number, arrivedAt: number): void {
    const sinceLast = arrivedAt - this.#lastArrival
    const latency = arrivedAt - submittedAt
    this.#lastArrival = arrivedAt
    if (this.#readbackMs !== null) this.#readbackMs = Math.min(this.#readbackMs, latency)
    const step = Math.min(latency - (this.#readbackMs ?? 0), sinceLast)
    this.#stepsMs.push(Math.max(step, MIN_STEP_MS))
    if (this.#stepsMs.length > NUM_STEPS) this.#stepsMs.shift()
  }
}

/** Results that come in bunches are not infinitely fast. */
const MIN_STEP_MS = 0.01
