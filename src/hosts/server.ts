/** What a host that can listen on a port offers: the handler behind an address, until it is closed gently. */
import { LorikeetError } from '../errors.ts'

/** Pages beside the API: answers a request for a file it has, null for any other. */
export type Assets = (request: Request) => Response | null

export interface ServeOptions {
  /** Default 127.0.0.1: this machine only. */
  readonly host?: string
  /** Default 8000; 0 takes any free port. */
  readonly port?: number
  /** Pages beside the API; the API answers what they do not. */
  readonly assets?: Assets | null
}

export interface RunningServer {
  /** With the port that was taken, without a trailing slash; a wildcard host appears as localhost. */
  readonly url: string
  readonly port: number
  /**
   * Stops accepting, lets requests under way end for up to `graceMs` (default 10 s), then calls `endStreams`, gives
   * what is still open a moment to say so, and closes every connection. A second call closes them at once.
   */
  close(options?: CloseOptions): Promise<void>
}

export interface CloseOptions {
  readonly graceMs?: number
  readonly endStreams?: () => Promise<void>
}

/** Binds the handler to a port. @throws ListenError if the port is taken or may not be used. */
export type Serve = (fetch: (request: Request) => Promise<Response>, options?: ServeOptions) => Promise<RunningServer>

/** The address cannot be listened on. */
export class ListenError extends LorikeetError {
  readonly code = 'cannot_listen'
  override readonly param = 'port'

  /** `cause` is what the system said; its `code` (EADDRINUSE, …) is put into words where it is known. */
  constructor(host: string, port: number, cause: NodeJS.ErrnoException) {
    super(`Cannot listen on ${host}:${port}: ${LISTEN_PROBLEMS[cause.code ?? ''] ?? cause.message}`, { cause })
  }
}

const LISTEN_PROBLEMS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use. Choose another with --port, or stop what listens there.',
  EACCES: 'this user may not use the port. Choose one above 1023 with --port.',
  EADDRNOTAVAIL: 'this machine does not have the address. Choose another with --host.',
  ENOTFOUND: 'the host name is not known. Choose another with --host.',
}

/** For error events to reach the clients whose streams were ended. */
const LAST_WORDS_MS = 500
const GRACE_MS = 10_000

/** How a host lets go of its listener and its connections. */
export interface Closing {
  /** Stops accepting; resolves when the last connection is closed. */
  readonly closed: Promise<void>
  closeConnections(): void
}

/** The order of a gentle end, the same on every host. */
export async function closeGently(
  { closed, closeConnections }: Closing,
  { graceMs = GRACE_MS, endStreams = async () => {} }: CloseOptions,
): Promise<void> {
  if (await settles(closed, graceMs)) return
  await endStreams()
  if (await settles(closed, LAST_WORDS_MS)) return
  closeConnections()
  await closed
}

/** The address to tell people, without a trailing slash. */
export function urlOf(host: string, port: number): string {
  if (host === '0.0.0.0' || host === '::') return `http://localhost:${port}`
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** True if `promise` resolves within `ms`. */
async function settles(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  try {
    return await Promise.race([promise.then(() => true), timeout])
  } finally {
    clearTimeout(timer)
  }
}
