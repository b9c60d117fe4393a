/** Binds the handler to a port of a Node process, and lets go of it without cutting anybody off in mid-sentence. */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { LorikeetError } from '../../errors.ts'
import type { Assets } from './assets.ts'

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
  close(options?: { readonly graceMs?: number; readonly endStreams?: () => Promise<void> }): Promise<void>
}

/** The address cannot be listened on. */
export class ListenError extends LorikeetError {
  readonly code = 'cannot_listen'
  override readonly param = 'port'
}

/** How often connections that have become idle are looked for while the server drains. */
const IDLE_SWEEP_MS = 50
/** For error events to reach the clients whose streams were ended. */
const LAST_WORDS_MS = 500

/** @throws ListenError if the port is taken or may not be used. */
export async function serve(
  fetch: (request: Request) => Promise<Response>,
  { host = '127.0.0.1', port = 8000, assets = null }: ServeOptions = {},
): Promise<RunningServer> {
  const server = createAdaptorServer({
    fetch: (request) => assets?.(request) ?? fetch(request),
    // Response and Request stay Node's own for everybody else in the process.
    overrideGlobalObjects: false,
  }) as Server
  await listen(server, host, port)
  const { port: taken } = server.address() as AddressInfo
  let isClosing = false
  return {
    url: `http://${urlHost(host)}:${taken}`,
    port: taken,
    async close({ graceMs = 10_000, endStreams = async () => {} } = {}) {
      if (isClosing) {
        server.closeAllConnections()
        return
      }
      isClosing = true
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS)
      try {
        server.closeIdleConnections()
        if (await settles(closed, graceMs)) return
        await endStreams()
        if (await settles(closed, LAST_WORDS_MS)) return
        server.closeAllConnections()
        await closed
      } finally {
        clearInterval(sweep)
      }
    },
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const reason = LISTEN_PROBLEMS[cause.code ?? ''] ?? cause.message
      reject(new ListenError(`Cannot listen on ${host}:${port}: ${reason}`, { cause }))
    })
    server.listen(port, host, resolve)
  })
}

const LISTEN_PROBLEMS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use. Choose another with --port, or stop what listens there.',
  EACCES: 'this user may not use the port. Choose one above 1023 with --port.',
  EADDRNOTAVAIL: 'this machine does not have the address. Choose another with --host.',
  ENOTFOUND: 'the host name is not known. Choose another with --host.',
}

function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost'
  return host.includes(':') ? `[${host}]` : host
}

/** True if `promise` resolves within `ms`. */
async function settles(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  try {
    return await Promise.race([promise.then(() => true), timeout])
  } finally {
    clearTimeout(timer)
  }
}
