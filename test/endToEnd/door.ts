/** How a client reaches a model: over a port, closed as the command line closes it, or in its own process. */
import type { Serve } from '../../src/hosts/server.ts'
import type { Served } from './scenarios.ts'

type Door = Pick<Served, 'fetch' | 'close'>

export async function behindPort(serve: Serve, bird: Served['bird']): Promise<Door> {
  const server = await serve((request) => bird.fetch(request), { port: 0 })
  return {
    fetch: (path, init) => fetch(server.url + path, init),
    async close() {
      await server.close({ graceMs: 100, endStreams: () => bird.close() })
      await bird.close()
    },
  }
}

export function inProcess(bird: Served['bird']): Door {
  return { fetch: (path, init) => bird.fetch(`http://lorikeet${path}`, init), close: () => bird.close() }
}
