/**
 * The errors that reach users. Every one is a subclass of LorikeetError with a stable `code`, the HTTP status it
 * maps to, the parameter it is about (a request field, a flag, a tensor, a file), and a message that says what to
 * do next. Each folder keeps its own subclasses beside the code that throws them; `invariant` is for the impossible.
 */
export abstract class LorikeetError extends Error {
  /** Stable, snake_case, never translated. */
  abstract readonly code: string
  /** HTTP status an API answers with. 400: the caller's input; 500: ours. */
  readonly status: number = 400
  /** The field, flag, tensor or file the error is about, if one can be named. */
  readonly param: string | null = null

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** A condition that only a bug in lorikeet can break. */
export class InvariantError extends LorikeetError {
  readonly code = 'internal'
  override readonly status = 500
}

export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(`${message}. This is a bug in lorikeet.`)
}

/** The error to throw when `signal` has been aborted: its own reason when that is an Error, else an AbortError. */
export function abortReason(signal: AbortSignal): Error {
  const { reason } = signal
  return reason instanceof Error ? reason : new DOMException('The operation was aborted', 'AbortError')
}
