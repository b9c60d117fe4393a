/** Backends over the real handler: what the page says is what the API gets. */
import { Api } from '../../../demo/src/engine/api.ts'
import type { Backend } from '../../../demo/src/engine/backend.ts'
import { serverBackend } from '../../../demo/src/engine/server.ts'
import type { FakeHouse } from '../../api/support/fakeService.ts'

export function backendOf(house: Pick<FakeHouse, 'handler'>, apiKey = ''): Backend {
  return serverBackend({
    base: 'http://page/',
    apiKey,
    protocol: 'http/1.1',
    fetch: (input, init) => house.handler(new Request(input, init)),
  })
}

export function apiOf(house: Pick<FakeHouse, 'handler'>): Api {
  return new Api(backendOf(house))
}

/** A body that arrives byte by byte. */
export function byteByByte(text: string): ReadableStream<Uint8Array> {
  const bytes = [...new TextEncoder().encode(text)]
  return new ReadableStream({
    pull(controller) {
      const byte = bytes.shift()
      if (byte === undefined) controller.close()
      else controller.enqueue(new Uint8Array([byte]))
    },
  })
}
