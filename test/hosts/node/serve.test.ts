/** The handler on a real port: clients that leave, clients that do not read, and a server that stops. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readAssets } from '../../../src/hosts/node/assets.ts'
import { serve } from '../../../src/hosts/node/serve.ts'
import { ListenError, type RunningServer } from '../../../src/hosts/server.ts'
import { type FakeHouse, fakeHouse } from '../../api/support/fakeService.ts'

const messages = [{ role: 'user' as const, content: 'Hello' }]
const CHAT = '/v1/chat/completions'

let house: FakeHouse
let server: RunningServer

beforeEach(async () => {
  house = fakeHouse()
  house.engine.limits = { ...house.engine.limits, maxModelLen: 1_000_000 }
  server = await serve(house.handler, { port: 0 })
})

afterEach(() => server.close({ graceMs: 0 }))

/** Resolves once `test` holds; fails by the test's own time limit. */
async function until(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((resolve) => setImmediate(resolve))
}

/** Lets the event loop go round. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Sends a request by hand, so that nothing reads the answer unless the test does. */
function rawPost(body: unknown): Socket {
  const text = JSON.stringify(body)
  const socket = connect(server.port, '127.0.0.1')
  socket.write(`POST ${CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`)
  return socket
}

function endless(): void {
  house.engine.script = () => ({
    tokens: {
      *[Symbol.iterator]() {
        for (;;) yield 50
      },
    },
  })
}

describe('a port', () => {
  it('carries an unmodified client', async () => {
    house.says('Ahoy! 🦜')
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
    const stream = await client.chat.completions.create({ model: 'pirate', messages, stream: true })
    let text = ''
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
    expect(text).toBe('Ahoy! 🦜')
    expect(await client.models.retrieve('team/tutor')).toMatchObject({ parent: 'org/tiny' })
  })

  it('that is taken is a clear error', async () => {
    await expect(serve(house.handler, { port: server.port })).rejects.toThrow(ListenError)
    await expect(serve(house.handler, { port: server.port })).rejects.toThrow(/is in use\. Choose another with --port/)
  })
})

describe('a client', () => {
  it('that goes away in a stream frees its generation', async () => {
    endless()
    const gone = new AbortController()
    const response = await fetch(server.url + CHAT, {
      method: 'POST',
      body: JSON.stringify({ model: 'pirate', messages, stream: true }),
      signal: gone.signal,
    })
    await response.body!.getReader().read()
    expect(house.engine.running).toHaveLength(1)
    gone.abort()
    await until(() => house.engine.running.length === 0)
    expect(house.leases).toEqual([])
  })

  it('that goes away while it waits for a whole answer frees its generation', async () => {
    endless()
    house.engine.gate = () => new Promise(() => {})
    const socket = rawPost({ messages })
    await until(() => house.engine.running.length === 1)
    socket.destroy()
    await until(() => house.engine.running.length === 0)
  })

  it('that does not read holds the generation back', async () => {
    endless()
    const socket = rawPost({ messages, stream: true })
    // Until the buffers of both sockets are full, tokens flow; then they stand still.
    const pulled = (): number => house.engine.generations[0]?.numPulled ?? 0
    for (let before = -1; pulled() === 0 || pulled() !== before; ) {
      before = pulled()
      await turns(500)
    }
    expect(house.engine.running).toHaveLength(1)
    socket.destroy()
    await until(() => house.engine.running.length === 0)
  })
})

describe('closing', () => {
  it('lets a stream under way end, and takes nobody new', async () => {
    house.says('One two three four')
    let open = (): void => {}
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    house.engine.gate = () => opened
    const response = await fetch(server.url + CHAT, {
      method: 'POST',
      body: JSON.stringify({ messages, stream: true }),
    })
    const closing = server.close({ graceMs: 60_000 })
    await expect(fetch(`${server.url}/health`)).rejects.toThrow()
    open()
    expect(await response.text()).toContain('[DONE]')
    await closing
  })

  it('ends what does not end by itself, with its last words', async () => {
    endless()
    house.engine.gate = () => new Promise(() => {})
    const response = await fetch(server.url + CHAT, {
      method: 'POST',
      body: JSON.stringify({ messages, stream: true }),
    })
    const text = response.text()
    await until(() => house.engine.running.length === 1)
    const endStreams = async (): Promise<void> => {
      for (const generation of house.engine.running) generation.abort()
    }
    await server.close({ graceMs: 0, endStreams })
    expect(await text).toContain('ServiceUnavailableError')
    expect((await text).endsWith('data: [DONE]\n\n')).toBe(true)
  })

  it('closes by force what holds on, and at once when asked twice', async () => {
    endless()
    house.engine.gate = () => new Promise(() => {})
    const socket = rawPost({ messages, stream: true })
    socket.on('error', () => {})
    await until(() => house.engine.running.length === 1)
    const closing = server.close({ graceMs: 60_000 })
    await server.close()
    await closing
    await until(() => house.engine.running.length === 0)
  })
})

describe('the page', () => {
  let folder: string
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'lorikeet-page-'))
    await mkdir(join(folder, 'page/assets'), { recursive: true })
    writeFileSync(join(folder, 'page/index.html'), '<!doctype html>hello')
    writeFileSync(join(folder, 'page/assets/a-1.js'), 'let a')
    writeFileSync(join(folder, 'secret.txt'), 'secret')
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('is served beside the API, with types and a policy that allows no other origin', async () => {
    const page = await serve(house.handler, { port: 0, assets: await readAssets(join(folder, 'page')) })
    try {
      const index = await fetch(`${page.url}/`)
      expect(await index.text()).toBe('<!doctype html>hello')
      expect(index.headers.get('content-type')).toBe('text/html; charset=utf-8')
      expect(index.headers.get('content-security-policy')).toContain("default-src 'self'")
      const script = await fetch(`${page.url}/assets/a-1.js?v=1`)
      expect(script.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
      expect(script.headers.get('cache-control')).toContain('immutable')
      expect((await fetch(`${page.url}/`, { method: 'HEAD' })).status).toBe(200)
      expect((await fetch(`${page.url}/v1/models`)).status).toBe(200)
      expect((await fetch(`${page.url}/`, { method: 'POST' })).status).toBe(404)
    } finally {
      await page.close({ graceMs: 0 })
    }
  })

  it.each([
    '/../secret.txt',
    '/..%2fsecret.txt',
    '/assets/../../secret.txt',
    '/%2e%2e/secret.txt',
    '//secret.txt',
    '/.',
  ])('gives nothing but itself: %s', async (path) => {
    const assets = await readAssets(join(folder, 'page'))
    const response = assets!(new Request(`http://x${path}`))
    expect((await response?.text()) ?? '').not.toContain('secret')
  })

  it('may be absent', async () => {
    expect(await readAssets(join(folder, 'nowhere'))).toBeNull()
  })
})
