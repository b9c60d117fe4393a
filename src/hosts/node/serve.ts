/** Binds the handler to a port of a Node process, and lets go of it without cutting anybody off in mid-sentence. */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { closeGently, ListenError, type Serve, urlOf } from '../server.ts'

/** How often connections that have become idle are looked for while the server drains. */
const IDLE_SWEEP_MS = 50

/** @throws ListenError if the port is taken or may not be used. */
export const serve: Serve = async (fetch, { host = '127.0.0.1', port = 8000, assets = null } = {}) => {
  const server = createAdaptorServer({
    fetch: (request) => assets?.(request) ?? fetch(request),
    // Response and Request stay Node's own for everybody else in the process.
    overrideGlobalObjects: false,
  }) as Server
  await listen(server, host, port)
  const { port: taken } = server.address() as AddressInfo
  let isClosing = false
  return {
    url: urlOf(host, taken),
    port: taken,
    async close(options = {}) {
      if (isClosing) {
        server.closeAllConnections()
        return
      }
      isClosing = true
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS)
      try {
        server.closeIdleConnections()
        await closeGently({ closed, closeConnections: () => server.closeAllConnections() }, options)
      } finally {
        clearInterval(sweep)
      }
    },
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(new ListenError(host, port, cause)))
    server.listen(port, host, resolve)
  })
}
