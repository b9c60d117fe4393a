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

  /** A message is a line of a log and part of an answer: one that got long, by names out of a file, is cut. */
  constructor(message: string, options?: ErrorOptions) {
    super(cut(message, MAX_MESSAGE_LENGTH), options)
    this.name = new.target.name
  }
}

const MAX_MESSAGE_LENGTH = 2000

/** `value` as a message shows it: JSON, cut where it gets long (names and fields in files are hostile input). */
export function shown(value: unknown, limit = 120): string {
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value))
  return cut(text, limit)
}

/** `text`, or its beginning with a sign that it goes on. */
export function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit)}…`
}

/** Longest `param` that is made of what a file says. */
const MAX_PARAM_LENGTH = 300

/** A name out of a file as an error's `param`, which goes back to clients. */
export function asParam(name: string): string {
  return name.slice(0, MAX_PARAM_LENGTH)
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
