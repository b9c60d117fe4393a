/**
 * What the engine has done since it was opened, in numbers: an observer that adds up. A token costs a few additions, a
 * step one small record; nothing is computed until somebody asks. How it is written down is the API's business.
 */
import { Histogram } from './histogram.ts'
import type { EngineObserver, RequestTrace, StepTrace } from './observer.ts'
import { StepHistory } from './stepHistory.ts'

/** What became of the requests under one adapter's name. */
export interface AdapterTally {
  promptTokens: number
  generatedTokens: number
  /** Requests that got a first token, and the seconds these took together. */
  firstTokens: number
  firstTokenSeconds: number
}

/** Names whose tallies are kept. The one that has been known longest goes when there are more. */
const MAX_NAMES = 16_384

/** vLLM's buckets, and below them some for devices that are quicker than those. */
const FIRST_TOKEN_S = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
]
const BETWEEN_TOKENS_S = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
]
const REQUEST_S = [
  0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
]
const STEP_TOKENS = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384]
const REQUEST_TOKENS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000]

export class EngineMeter implements EngineObserver {
  /** Clock of its times, in ms: the engine's. */
  readonly now: () => number
  readonly openedAt: number
  readonly steps: StepHistory = new StepHistory()
  /** Seconds. */
  readonly firstToken: Histogram = new Histogram(FIRST_TOKEN_S)
  readonly betweenTokens: Histogram = new Histogram(BETWEEN_TOKENS_S)
  /** Each request's mean time between tokens. */
  readonly perToken: Histogram = new Histogram(BETWEEN_TOKENS_S)
  /** From arrival to the end; to admission; from there to the end, to the first token, and from the first to the last. */
  readonly whole: Histogram = new Histogram(REQUEST_S)
  readonly queue: Histogram = new Histogram(REQUEST_S)
  readonly inference: Histogram = new Histogram(REQUEST_S)
  readonly prefill: Histogram = new Histogram(REQUEST_S)
  readonly decode: Histogram = new Histogram(REQUEST_S)
  readonly stepSeconds: Histogram = new Histogram(BETWEEN_TOKENS_S)
  /** Tokens: of a step, of a request's prompt, of its answer. */
  readonly stepTokens: Histogram = new Histogram(STEP_TOKENS)
  readonly promptTokens: Histogram = new Histogram(REQUEST_TOKENS)
  readonly answerTokens: Histogram = new Histogram(REQUEST_TOKENS)
  /** How requests ended. */
  readonly outcomes: Record<NonNullable<RequestTrace['outcome']>, number> = { stop: 0, length: 0, abort: 0, error: 0 }
  /** Rows of all steps. */
  prefillRows = 0
  decodeRows = 0
  readonly #tallies = new Map<string, AdapterTally>()

  constructor(now: () => number = () => performance.now()) {
    this.now = now
    this.openedAt = now()
  }

  /** Seconds since it was made. */
  get uptime(): number {
    return (this.now() - this.openedAt) / 1000
  }

  /** Zeros for a name under which nothing was admitted. */
  tally(adapter: string): Readonly<AdapterTally> {
    return this.#tallies.get(adapter) ?? NOTHING
  }

  admitted({ adapter, numPromptTokens, queuedAt, admittedAt }: RequestTrace): void {
    this.queue.observe((admittedAt! - queuedAt) / 1000)
    if (adapter !== null) this.#tallyOf(adapter).promptTokens += numPromptTokens
  }

  token({ adapter, queuedAt, firstTokenAt }: RequestTrace, sinceLastMs: number | null): void {
    const tally = adapter === null ? null : this.#tallyOf(adapter)
    if (tally) tally.generatedTokens++
    if (sinceLastMs !== null) {
      this.betweenTokens.observe(sinceLastMs / 1000)
      return
    }
    const seconds = (firstTokenAt! - queuedAt) / 1000
    this.firstToken.observe(seconds)
    if (!tally) return
    tally.firstTokens++
    tally.firstTokenSeconds += seconds
  }

  finished(request: RequestTrace): void {
    const { queuedAt, admittedAt, firstTokenAt, lastTokenAt, finishedAt, numGeneratedTokens } = request
    this.outcomes[request.outcome!]++
    this.whole.observe((finishedAt! - queuedAt) / 1000)
    this.promptTokens.observe(request.numPromptTokens)
    this.answerTokens.observe(numGeneratedTokens)
    if (admittedAt === null) return
    this.inference.observe((finishedAt! - admittedAt) / 1000)
    if (firstTokenAt === null) return
    this.prefill.observe((firstTokenAt - admittedAt) / 1000)
    const seconds = (lastTokenAt! - firstTokenAt) / 1000
    this.decode.observe(seconds)
    if (numGeneratedTokens > 1) this.perToken.observe(seconds / (numGeneratedTokens - 1))
  }

  step(step: StepTrace): void {
    this.stepSeconds.observe(this.steps.add(step) / 1000)
    this.stepTokens.observe(step.numRows)
    for (const { prefill, decode } of step.rows) {
      this.prefillRows += prefill
      this.decodeRows += decode
    }
  }

  #tallyOf(adapter: string): AdapterTally {
    let tally = this.#tallies.get(adapter)
    if (!tally) {
      tally = { ...NOTHING }
      this.#tallies.set(adapter, tally)
      if (this.#tallies.size > MAX_NAMES) this.#tallies.delete(this.#tallies.keys().next().value!)
    }
    return tally
  }
}

const NOTHING: Readonly<AdapterTally> = { promptTokens: 0, generatedTokens: 0, firstTokens: 0, firstTokenSeconds: 0 }
