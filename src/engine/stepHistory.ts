/** The last steps, for charts: when each ended, how long it took, whose rows it computed. */
import type { AdapterRows, StepTrace } from './observer.ts'

/** Steps that are kept. */
export const KEPT_STEPS = 512

export interface PastStep {
  /** Counts from 0. */
  readonly step: number
  /** When its result came, in ms of the engine's clock. */
  readonly at: number
  /** From its submission, or the result before it where that came later, to its result: what it added to the time. */
  readonly ms: number
  readonly rows: readonly AdapterRows[]
}

export class StepHistory {
  /** A ring: step n lies at n % KEPT_STEPS. */
  readonly #steps: PastStep[] = []
  #next = 0
  #lastArrivedAt = -Infinity

  /** Takes the next step and returns how long it took, in ms. */
  add({ index, submittedAt, arrivedAt, rows }: StepTrace): number {
    const ms = Math.max(0, arrivedAt - Math.max(submittedAt, this.#lastArrivedAt))
    this.#steps[index % KEPT_STEPS] = { step: index, at: arrivedAt, ms, rows }
    this.#next = index + 1
    this.#lastArrivedAt = arrivedAt
    return ms
  }

  /** What is kept of the steps behind step `since`, the oldest first. */
  after(since = -1): PastStep[] {
    const first = Math.max(since + 1, this.#next - this.#steps.length)
    return Array.from({ length: Math.max(0, this.#next - first) }, (_, i) => this.#steps[(first + i) % KEPT_STEPS]!)
  }
}
