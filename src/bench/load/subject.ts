/** What a benchmark is about, opened and ready: its scenarios, and what a report says of it. */
import type { Facts } from './loadReport.ts'
import type { Scenario } from './sweep.ts'

export interface Subject {
  readonly scenarios: readonly Scenario[]
  readonly facts: Facts
  readonly device: Facts | null
  readonly isSoftware: boolean
  /** What a reader of the figures has to know: what was left out, and why. */
  readonly notes: readonly string[]
  /** What there is to say only afterwards. */
  closingNotes(): readonly string[]
  close(): Promise<void>
}

/** Fields and limits of the requests, whoever answers them. */
export interface RequestWishes {
  readonly ignoreEos: boolean
  readonly timeoutMs: number
  /** The longest prompt with the longest answer, in tokens. */
  readonly longest: number
}
