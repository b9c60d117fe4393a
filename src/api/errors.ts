/**
 * What the API says when it says no. Every error a client can meet has its class here (errors of the engine, the
 * adapters and the device come from their own folders), and `errorEnvelope` is the one place that turns an error into
 * the JSON that OpenAI's clients parse.
 */
import { LorikeetError } from '../errors.ts'
import { AdapterRefusedError } from '../lora/errors.ts'
import { AdapterLostError } from '../lora/store.ts'

/** A field with a wrong type, a value out of range, or a combination that makes no sense. */
export class InvalidRequestError extends LorikeetError {
  readonly code: string = 'invalid_request'
  override readonly param: string | null

  constructor(message: string, param: string | null = null, options?: ErrorOptions) {
    super(message, options)
    this.param = param
  }
}

/** What vLLM calls `InvalidUserInput`: a request about adapters that cannot be followed as it stands. */
export class InvalidUserInputError extends InvalidRequestError {
  override readonly code = 'invalid_user_input'
}

/** There is no adapter where a request said there was one, or none of that name. */
export class AdapterNotFoundError extends LorikeetError {
  readonly code = 'adapter_not_found'
  override readonly status = 404
  override readonly param: string

  constructor(param: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.param = param
  }
}

/** A field or value that is known to other servers and not implemented here. */
export class UnsupportedFieldError extends InvalidRequestError {
  override readonly code = 'unsupported_field'

  constructor(param: string, detail: string) {
    super(`\`${param}\` is not supported: ${detail}`, param)
  }
}

/** Only with `strict`: fields that nobody knows, most often a spelling mistake. */
export class UnknownFieldError extends InvalidRequestError {
  override readonly code = 'unknown_field'

  constructor(fields: readonly string[]) {
    const names = fields.map((field) => `\`${field}\``).join(', ')
    super(
      `Unknown ${fields.length === 1 ? 'field' : 'fields'} ${names}. Check the spelling or leave it out.`,
      fields[0],
    )
  }
}

/** The body is not JSON; `offset` counts UTF-16 code units from its start. */
export class MalformedJsonError extends InvalidRequestError {
  override readonly code = 'malformed_json'
}

/** Prompt and answer together are longer than the context. */
export class ContextLengthError extends InvalidRequestError {
  override readonly code = 'context_length_exceeded'

  constructor(param: string, maxModelLen: number, numPromptTokens: number, numOutputTokens: number) {
    super(
      `This model's maximum context length is ${maxModelLen} tokens. However, you requested ${numOutputTokens} output ` +
        `tokens and your prompt contains at least ${numPromptTokens} input tokens, for a total of at least ` +
        `${numPromptTokens + numOutputTokens} tokens. Please reduce the length of the input prompt or the number of ` +
        'requested output tokens.',
      param,
    )
  }
}

/** `model` is neither the base nor an adapter, or `lora` names none. Never answered by the base instead. */
export class ModelNotFoundError extends LorikeetError {
  readonly code = 'model_not_found'
  override readonly status = 404
  override readonly param: string

  constructor(model: string, param = 'model') {
    super(`The model \`${model}\` does not exist.`)
    this.param = param
  }
}

/** A page asks to change what is served, and nobody said that it may. */
export class ForbiddenOriginError extends LorikeetError {
  readonly code = 'forbidden_origin'
  override readonly status = 403

  constructor(origin: string) {
    super(
      `Pages of ${origin.slice(0, 200)} may not change the adapters here. Start the server with --cors-origin to let them.`,
    )
  }
}

export class RouteNotFoundError extends LorikeetError {
  readonly code = 'route_not_found'
  override readonly status = 404
}

export class MethodNotAllowedError extends LorikeetError {
  readonly code = 'method_not_allowed'
  override readonly status = 405
}

export class UnauthorizedError extends LorikeetError {
  readonly code = 'invalid_api_key'
  override readonly status = 401
}

export class BodyTooLargeError extends LorikeetError {
  readonly code = 'body_too_large'
  override readonly status = 413

  constructor(limitBytes: number) {
    super(`The request body is larger than ${limitBytes} bytes.`)
  }
}

/** Nobody is listening any more; the answer goes nowhere, the status is for the log. */
export class ClientGoneError extends LorikeetError {
  readonly code = 'client_gone'
  override readonly status = 499

  constructor() {
    super('The client closed the connection.')
  }
}

/** The device failed or the engine was closed; only a restart helps. */
export class EngineNotReadyError extends LorikeetError {
  readonly code = 'engine_not_ready'
  override readonly status = 503

  constructor(state: string) {
    super(`The engine is ${state}. Restart the server.`)
  }
}

/** A page of another origin sent a body that browsers let through without asking first. */
export class ContentTypeError extends InvalidRequestError {
  override readonly code = 'content_type'

  constructor() {
    super('Send the body with `content-type: application/json`.')
  }
}

/** The engine ended a generation that nobody asked it to end. */
export class GenerationAbortedError extends LorikeetError {
  readonly code = 'generation_aborted'
  override readonly status = 503

  constructor() {
    super('The generation was ended by the server before it was complete. Please try again.')
  }
}

export interface ErrorEnvelope {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly param: string | null
    /** The HTTP status, as vLLM has it. */
    readonly code: number
    /** Why an adapter was refused, or what became of its files, in one stable word. */
    readonly reason?: string
  }
}

/** vLLM's `type` for each status. */
const TYPES: Readonly<Record<number, string>> = {
  400: 'BadRequestError',
  401: 'AuthenticationError',
  403: 'PermissionDeniedError',
  404: 'NotFoundError',
  405: 'MethodNotAllowedError',
  409: 'ConflictError',
  413: 'RequestTooLargeError',
  429: 'RateLimitError',
  499: 'ClientClosedRequest',
  503: 'ServiceUnavailableError',
}

/** The envelope for any thrown value. What is not a LorikeetError is ours, and its text stays in the log. */
export function errorEnvelope(thrown: unknown): { status: number; body: ErrorEnvelope } {
  const known = thrown instanceof LorikeetError ? thrown : null
  const status = known?.status ?? 500
  const message = known?.message ?? 'Internal server error. The log of the server has the details.'
  const type = known instanceof InvalidUserInputError ? 'InvalidUserInput' : typeOf(status)
  const hasReason = known instanceof AdapterRefusedError || known instanceof AdapterLostError
  const reason = hasReason ? { reason: known.code } : {}
  return { status, body: { error: { message, type, param: known?.param ?? null, code: status, ...reason } } }
}

function typeOf(status: number): string {
  return TYPES[status] ?? (status < 500 ? 'BadRequestError' : 'InternalServerError')
}

/** When to try again, for the header of that name; null where trying again is no use. */
export function retryAfterSeconds(error: unknown, status: number): number | null {
  if (status !== 429 && status !== 503) return null
  const stated = (error as { retryAfterSeconds?: unknown }).retryAfterSeconds
  return typeof stated === 'number' ? stated : 1
}
