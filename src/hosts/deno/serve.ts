/** Binds the handler to a port of a Deno process with `Deno.serve`, and lets go of it as gently as Node does. */
import { closeGently, ListenError, type Serve, urlOf } from '../server.ts'

/** What is used of Deno's own API, whose types are not installed. */
interface DenoApi {
  serve(
    options: { hostname: string; port: number; signal: AbortSignal; onListen: () => void },
    handler: (request: Request, info: { readonly completed: Promise<void> }) => Response | Promise<Response>,
  ): { readonly addr: { readonly port: number }; readonly finished: Promise<void> }
}

/**
 * A client that goes away is noticed by `request.signal`, of which Deno 2.9 says once that it also aborts behind an answer
 * that was sent whole. That disturbs nothing here; `--unstable-no-legacy-abort` spares the line.
 * @throws ListenError if the port is taken or may not be used.
 */
export const serve: Serve = async (fetch, { host = '127.0.0.1', port = 8000, assets = null } = {}) => {
  const { Deno } = globalThis as unknown as { readonly Deno: DenoApi }
  const connections = new AbortController()
  /** Answers that are not sent yet. */
  const underWay = new Set<Promise<void>>()
  let isClosing = false

  function answer(
    request: Request,
    { completed }: { readonly completed: Promise<void> },
  ): Response | Promise<Response> {
    if (isClosing) return new Response('The server is stopping.\n', { status: 503, headers: { connection: 'close' } })
    const sent = completed.catch(() => undefined).finally(() => underWay.delete(sent))
    underWay.add(sent)
    return assets?.(request) ?? fetch(request)
  }
  async function drained(): Promise<void> {
    while (underWay.size > 0) await Promise.all(underWay)
  }
  const listen = () => {
    try {
      const options = { hostname: host, port, signal: connections.signal, onListen: () => undefined }
      return Deno.serve(options, answer)
    } catch (cause) {
      throw new ListenError(host, port, cause as NodeJS.ErrnoException)
    }
  }
  const server = listen()
  return {
    url: urlOf(host, server.addr.port),
    port: server.addr.port,
    // Without Deno's own shutdown(): it waits for a client that does not read, however long, and once it was called the
    // signal throws "Bad resource ID" into the void (2.9.6, 2026-11-22).
    async close(options = {}) {
      const closeConnections = () => connections.abort()
      if (!isClosing) {
        isClosing = true
        await closeGently({ closed: Promise.race([drained(), server.finished]), closeConnections }, options)
      }
      closeConnections()
      await server.finished
    },
  }
}
