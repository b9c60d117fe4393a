/** Errors across a port: what makes an error of lorikeet's typed (code, status, param) is data, and comes along. */
import { LorikeetError } from '../../../errors.ts'
import type { ErrorData } from './protocol.ts'

/**
 * An error that was thrown on the other side. Its class stayed there: `name` says which it was, and `code` is what to
 * tell errors apart by.
 */
export class RemoteError extends LorikeetError {
  readonly code: string
  override readonly status: number
  override readonly param: string | null

  constructor({ name, message, code, status, param }: ErrorData) {
    super(message)
    this.name = name
    this.code = code ?? 'internal'
    this.status = status
    this.param = param
  }
}

/** The worker that computes is gone: it was ended, ran out of memory, or could not be started. */
export class WorkerLostError extends LorikeetError {
  readonly code = 'worker_lost'
  override readonly status = 503
}

/** It was closed by its owner, and opens no more. */
export class ClosedError extends LorikeetError {
  readonly code = 'closed'
  override readonly status = 503

  constructor() {
    super('This lorikeet was closed. Open another.')
  }
}

export function errorData(thrown: unknown): ErrorData {
  if (thrown instanceof LorikeetError) {
    const { name, message, code, status, param } = thrown
    return { name, message, code, status, param }
  }
  // A DOMException is an Error too; its name (AbortError, …) is what it is known by.
  const { name, message } = thrown instanceof Error ? thrown : { name: 'Error', message: String(thrown) }
  return { name, message, code: null, status: 500, param: null }
}

export function errorOf(data: ErrorData): Error {
  const isAbort = data.code === null && (data.name === 'AbortError' || data.name === 'TimeoutError')
  return isAbort ? new DOMException(data.message, data.name) : new RemoteError(data)
}
