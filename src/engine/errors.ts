/** What the engine refuses or ends requests with. Failures of the device itself come from gpu/ and pass through unchanged. */
import { LorikeetError } from '../errors.ts'

/** The prompt leaves no room for an answer, in the model's length or in the whole KV cache. */
export class ContextLengthError extends LorikeetError {
  readonly code = 'context_length_exceeded'
  override readonly param = 'prompt'

  /** All in tokens; numKvTokens is what the whole KV cache holds. */
  constructor(numPromptTokens: number, maxModelLen: number, numKvTokens: number) {
    const limit =
      numKvTokens < maxModelLen
        ? `The KV cache holds ${numKvTokens} tokens (the model's maximum context length is ${maxModelLen})`
        : `This model's maximum context length is ${maxModelLen} tokens`
    super(
      `${limit}, but the prompt has ${numPromptTokens} tokens. Shorten the prompt so that an answer fits behind it.`,
    )
  }
}

/** A value the engine cannot run with; `param` names the field of the GenerationRequest. */
export class InvalidGenerationError extends LorikeetError {
  readonly code = 'invalid_generation'
  override readonly param: string

  constructor(param: string, message: string) {
    super(message)
    this.param = param
  }
}

/** Too many requests are waiting already. */
export class QueueFullError extends LorikeetError {
  readonly code = 'queue_full'
  override readonly status = 429
  /** For the Retry-After header. */
  readonly retryAfterSeconds = 1

  constructor(maxWaiting: number) {
    super(`${maxWaiting} requests are waiting already. Try again in a moment.`)
  }
}

/** The engine was closed: thrown by new requests, and what unfinished ones end with. */
export class EngineClosedError extends LorikeetError {
  readonly code = 'engine_closed'
  override readonly status = 503

  constructor() {
    super('The engine has been closed. Open a new one.')
  }
}

/** An earlier step failed, so no further step can run; `cause` is what that step failed with. */
export class EngineUnavailableError extends LorikeetError {
  readonly code = 'engine_unavailable'
  override readonly status = 503
  /** For the Retry-After header. */
  readonly retryAfterSeconds = 5

  constructor(cause: LorikeetError) {
    super(`The engine has stopped after a failure: ${cause.message}`, { cause })
  }
}

/** A step failed with something that is not a LorikeetError; `cause` is that something. */
export class StepFailedError extends LorikeetError {
  readonly code = 'step_failed'
  override readonly status = 500

  constructor(cause: unknown) {
    super(`A step of the engine failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/** No token could be drawn or scored for one request; the others of its step are not affected. */
export class InvalidLogitsError extends LorikeetError {
  readonly code = 'invalid_logits'
  override readonly status = 500

  /** @param halves flags that keep numbers as halves, which end at 65504: what is larger becomes NaN */
  constructor(position: number, adapter: string | null, halves: readonly string[] = []) {
    super(
      `The logits at position ${position} hold NaN or allow no token. ` +
        (halves.length > 0 ? `Numbers may not fit into halves: try without ${halves.join(' and ')}. Or: ` : '') +
        (adapter === null ? 'The weights of the base model may be damaged.' : `Adapter "${adapter}" may be damaged.`),
    )
  }
}
