/** Binds the handler to a port of a Deno process with `Deno.serve`, and lets go of it as gently as Node does. */
import { closeGently, ListenError, type Serve, urlOf } from '../server.ts'

/** What is used of Deno's own API, whose types are not installed. */
interface DenoApi {
  serve(
    options: { hostname: string; port: number; signal: AbortSignal; onListen: () => void },
    handler: (request: Request) => Response | Promise<Response>,
  ): { readonly addr: { readonly port: number }; readonly finished: Promise<void>; shutdown(): Promise<void> }
}

/** @throws ListenError if the port is taken or may not be used. */
export const serve: Serve = async (fetch, { host = '127.0.0.1', port = 8000, assets = null } = {}) => {
  const { Deno } = globalThis as unknown as { readonly Deno: DenoApi }
  const connections = new AbortController()
  const listen = () => {
    const options = { hostname: host, port, signal: connections.signal, onListen: () => undefined }
    try {
      return Deno.serve(options, (request) => assets?.(request) ?? fetch(request))
    } catch (cause) {
      throw new ListenError(host, port, cause as NodeJS.ErrnoException)
    }
  }
  const server = listen()
  let isClosing = false
  return {
    url: urlOf(host, server.addr.port),
    port: server.addr.port,
    async close(options = {}) {
      const closeConnections = () => connections.abort()
      if (isClosing) return closeConnections()
      isClosing = true
      void server.shutdown()
      await closeGently({ closed: server.finished, closeConnections }, options)
    },
  }
}
