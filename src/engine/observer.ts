/**
 * What the engine tells whoever measures it: metrics, traces, logs. All callbacks are optional, synchronous, and called
 * from inside the step loop, so they must be quick and must not throw. Times are those of the engine's clock, in ms.
 */
export interface EngineObserver {
  queued?(request: RequestTrace): void
  /** Not again when it comes back after a preemption. */
  admitted?(request: RequestTrace): void
  /** A token was generated; `sinceLastMs` is null for the first one. */
  token?(request: RequestTrace, sinceLastMs: number | null): void
  /** Always last, once per request. */
  finished?(request: RequestTrace): void
  step?(step: StepTrace): void
}

/** Tells several observers. */
export function observedBy(...observers: readonly EngineObserver[]): EngineObserver {
  const [only] = observers
  if (only && observers.length === 1) return only
  return {
    queued: (request) => {
      for (const observer of observers) observer.queued?.(request)
    },
    admitted: (request) => {
      for (const observer of observers) observer.admitted?.(request)
    },
    token: (request, sinceLastMs) => {
      for (const observer of observers) observer.token?.(request, sinceLastMs)
    },
    finished: (request) => {
      for (const observer of observers) observer.finished?.(request)
    },
    step: (step) => {
      for (const observer of observers) observer.step?.(step)
    },
  }
}

/** One request so far: one record for its whole life, so that a token costs none. Who looks later finds what was later. */
export interface RequestTrace {
  readonly id: string
  /** Name of the adapter, or null for the base. */
  readonly adapter: string | null
  readonly numPromptTokens: number
  /** Of these, the ones that came out of the prefix cache. */
  readonly numCachedTokens: number
  readonly numGeneratedTokens: number
  readonly queuedAt: number
  readonly admittedAt: number | null
  readonly firstTokenAt: number | null
  readonly lastTokenAt: number | null
  readonly finishedAt: number | null
  readonly outcome: 'stop' | 'length' | 'abort' | 'error' | null
}

/** What a request's client felt, in ms; null for what did not come to pass. */
export interface Latencies {
  /** From its arrival to its admission. */
  readonly queueMs: number | null
  /** From its arrival to its first token. */
  readonly firstTokenMs: number | null
  /** From one token to the next, on average. */
  readonly betweenTokensMs: number | null
}

export function latenciesOf(request: RequestTrace): Latencies {
  const { queuedAt, admittedAt, firstTokenAt, lastTokenAt, numGeneratedTokens } = request
  return {
    queueMs: admittedAt === null ? null : admittedAt - queuedAt,
    firstTokenMs: firstTokenAt === null ? null : firstTokenAt - queuedAt,
    betweenTokensMs:
      firstTokenAt === null || lastTokenAt === null || numGeneratedTokens < 2
        ? null
        : (lastTokenAt - firstTokenAt) / (numGeneratedTokens - 1),
  }
}

/** Rows of a step that belong to requests for one adapter, or (null) for the base. */
export interface AdapterRows {
  readonly adapter: string | null
  /** Of prompts, and of answers that are computed again after a preemption. */
  readonly prefill: number
  /** Newest tokens of answers. */
  readonly decode: number
}

/** One step. */
export interface StepTrace {
  /** Counts from 0. */
  readonly index: number
  readonly numRows: number
  readonly numSpans: number
  readonly numLogitsRows: number
  /** Adapters whose rows it computed. */
  readonly numSegments: number
  /** Whose rows: one entry for each adapter and one for the base, as far as they had any. */
  readonly rows: readonly AdapterRows[]
  /** Still running and waiting after it. */
  readonly numRunning: number
  readonly numWaiting: number
  /** Steps submitted after it whose results are still out. */
  readonly numInFlight: number
  /** When the device ran it, in ms of the device's own clock; null where it is not profiled. */
  readonly gpuTime: { readonly begin: number; readonly end: number } | null
  /**
   * When planning began, and then the submission, and when that was done; when the result arrived, began to be dealt out,
   * and was.
   */
  readonly plannedAt: number
  readonly submittingAt: number
  readonly submittedAt: number
  readonly arrivedAt: number
  readonly settlingAt: number
  readonly settledAt: number
}

export type StepTimes = Pick<
  StepTrace,
  'plannedAt' | 'submittingAt' | 'submittedAt' | 'arrivedAt' | 'settlingAt' | 'settledAt'
>

/** Time of JavaScript that a step took, in ms: planned, submitted, dealt out. */
export function javaScriptMs(step: StepTimes): number {
  return step.submittedAt - step.plannedAt + step.settledAt - step.settlingAt
}
