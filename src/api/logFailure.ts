/** Requests that failed, in the log. */
import { errorEnvelope } from './errors.ts'
import type { Service } from './service.ts'

/** What is our fault is an error with its stack, what is the client's a line for those who look closely. */
export function logFailure(service: Service, error: unknown, requestId: string): void {
  const { status, body } = errorEnvelope(error)
  if (status < 500) {
    service.log('debug', body.error.message, { requestId, status })
    return
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
  service.log('error', body.error.message, { requestId, status, detail })
}
