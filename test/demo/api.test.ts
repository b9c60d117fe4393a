/** The page's side of the API, against the real handler. */
import { describe, expect, it } from 'vitest'
import { Api, type Piece } from '../../demo/src/engine/api.ts'
import { ApiError } from '../../demo/src/engine/apiError.ts'
import type { Ask } from '../../demo/src/engine/request.ts'
import { findServer, serverBackend } from '../../demo/src/engine/server.ts'
import { serverSentData } from '../../demo/src/engine/sse.ts'
import { ChatTemplate } from '../../src/text/chatTemplate.ts'
import { adapterHouse } from '../api/support/adapterHouse.ts'
import { fakeHouse } from '../api/support/fakeService.ts'
import { apiOf, backendOf, byteByByte } from './support/backends.ts'

const ASK: Ask = {
  model: 'pirate',
  style: 'dialogue',
  turns: [{ role: 'user', content: 'Hello' }],
  maxTokens: 40,
  temperature: 0.5,
  seed: 7,
}

async function read(pieces: AsyncIterable<Piece>): Promise<Piece[]> {
  const all: Piece[] = []
  for await (const piece of pieces) all.push(piece)
  return all
}

const never = new AbortController().signal

describe('the API', () => {
  it('lists the base once, then its adapters', async () => {
    const voices = await apiOf(fakeHouse()).voices()
    expect(voices).toEqual([
      { id: 'org/tiny', parent: null, contextLength: 256 },
      { id: 'pirate', parent: 'org/tiny', contextLength: null },
      { id: 'team/tutor', parent: 'org/tiny', contextLength: null },
    ])
  })

  it('tells a dialogue from a growing passage and from no template at all', async () => {
    expect(await apiOf(fakeHouse()).promptStyle()).toBe('dialogue')
    expect(await apiOf(fakeHouse({ service: { template: null } })).promptStyle()).toBe('text')
    const joins =
      "{{ bos_token }}{% for message in messages %}{{ ' ' if not loop.first else '' }}{{ message['content'] }}{% endfor %}"
    const passage = fakeHouse({ service: { template: ChatTemplate.compile(joins) } })
    expect(await apiOf(passage).promptStyle()).toBe('passage')
    const roles = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    const plain = fakeHouse({ service: { template: ChatTemplate.compile(roles) } })
    expect(await apiOf(plain).promptStyle()).toBe('dialogue')
  })

  it('brings an answer with a count of its tokens, and says how it ended', async () => {
    const house = fakeHouse()
    house.says('Ahoy! 🦜')
    const pieces = await read(apiOf(house).ask(ASK, never))
    expect(pieces.map(({ text }) => text).join('')).toBe('Ahoy! 🦜')
    const counts = pieces.flatMap(({ numTokens }) => numTokens ?? [])
    expect(counts).toEqual([...counts].sort((a, b) => a - b))
    expect(counts.at(-1)).toBeGreaterThan(3)
    expect(pieces.map(({ finishReason }) => finishReason)).toContain('stop')
    const { lastRequest } = house.engine
    expect(lastRequest.adapter?.name).toBe('pirate')
    expect(lastRequest.maxTokens).toBe(40)
  })

  it('continues text where there is no template', async () => {
    const house = fakeHouse({ service: { template: null } })
    house.says(' upon a time')
    await read(apiOf(house).ask({ ...ASK, style: 'text', turns: [{ role: 'user', content: 'Once' }] }, never))
    expect(house.engine.lastRequest.prompt).toEqual(house.tokenizer.encode('Once'))
  })

  it('throws what the server says, before the stream and in the middle of it', async () => {
    const house = fakeHouse()
    const refused = read(apiOf(house).ask({ ...ASK, model: 'nobody' }, never))
    await expect(refused).rejects.toMatchObject({ status: 404, message: 'The model `nobody` does not exist.' })
    house.engine.script = () => ({ tokens: [50, 51], failAt: { index: 1, error: new Error('broken') } })
    await expect(read(apiOf(house).ask(ASK, never))).rejects.toThrow(ApiError)
  })

  it('knows whether blends can be asked for, and does without stats', async () => {
    const api = apiOf(fakeHouse())
    expect(await api.takesBlends()).toBe(true)
    const older = new Api({ fetch: async () => new Response('{}', { status: 404 }) })
    expect(await older.takesBlends()).toBe(false)
    expect(await older.stats(-1)).toBeNull()
    const stats = await api.stats(-1)
    expect(stats?.steps.recent).toBeInstanceOf(Array)
    expect(stats?.memory).toBeTypeOf('object')
    expect(stats?.device.isSoftware).toBeTypeOf('boolean')
  })
})

describe('server-sent events', () => {
  it('come whole, however the network cuts them', async () => {
    const events: string[] = []
    for await (const data of serverSentData(byteByByte('data: a🦜\n\n: comment\n\ndata:b\r\n\r\ndata: [DONE]\n\n'))) {
      events.push(data)
    }
    expect(events).toEqual(['a🦜', 'b', '[DONE]'])
  })

  it('let the stream go when the reader leaves', async () => {
    let isCancelled = false
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode('data: a\n\n')),
      cancel() {
        isCancelled = true
      },
    })
    for await (const data of serverSentData(body)) {
      expect(data).toBe('a')
      break
    }
    expect(isCancelled).toBe(true)
  })

  it('are missed when they end without their last word', async () => {
    const body = byteByByte('data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n')
    const api = new Api({ fetch: async () => new Response(body) })
    await expect(read(api.ask(ASK, never))).rejects.toThrow('in the middle')
  })
})

describe('the server', () => {
  const at = (fetch: () => Promise<Response>) =>
    findServer({ base: 'http://page/', apiKey: '', protocol: '', fetch: async () => await fetch() })

  it('is told from files, from others and from nobody', async () => {
    const house = fakeHouse()
    expect(await at(() => house.get('/v1/models'))).toBe('here')
    expect(await at(() => fakeHouse({ apiKeys: ['k'] }).get('/v1/models'))).toBe('locked')
    expect(await at(async () => new Response('<!doctype html>', { status: 404 }))).toBe('none')
    expect(await at(async () => new Response('<!doctype html>'))).toBe('none')
    expect(await at(async () => Response.json({ data: [{ owned_by: 'vllm' }] }))).toBe('none')
    expect(await at(async () => new Response('Unauthorized', { status: 401 }))).toBe('none')
    expect(await at(() => Promise.reject(new TypeError('fetch failed')))).toBe('none')
  })

  it('gets the key with every question', async () => {
    const api = new Api(backendOf(fakeHouse({ apiKeys: ['k'] }), 'k'))
    expect(await api.voices()).toHaveLength(3)
    await expect(apiOf(fakeHouse({ apiKeys: ['k'] })).voices()).rejects.toMatchObject({ status: 401 })
  })

  it('says when it is gone', async () => {
    const gone = serverBackend({
      base: 'http://page/',
      apiKey: '',
      protocol: '',
      fetch: () => Promise.reject(new TypeError('fetch failed')),
    })
    await expect(new Api(gone).voices()).rejects.toThrow('The server cannot be reached. Is it still running?')
  })

  it('checks, loads, pins and unloads adapters by path, and refuses files of this machine in words', async () => {
    const house = await adapterHouse()
    const path = house.put('five', 'llama-tiny/r5')
    const backend = backendOf(house)
    const report = await backend.check({ type: 'path', path }, 'five')
    expect(report).toMatchObject({ rank: 5, loadedAs: [], wouldEvict: [], wouldWait: false })
    expect(report.bytes.gpu).toBeGreaterThan(0)
    await backend.load({ type: 'path', path }, 'five')
    expect((await apiOf(house).adapters())[0]).toMatchObject({ id: 'five', rank: 5, pinned: false, root: path })
    await backend.pin('five', path, true)
    expect((await apiOf(house).adapters())[0]).toMatchObject({ pinned: true })
    await backend.unload('five')
    expect(await apiOf(house).adapters()).toEqual([])
    const broken = { type: 'path', path: house.put('nan', 'refused/nan') } as const
    await expect(backend.check(broken, 'nan')).rejects.toMatchObject({ status: 400 })
    await expect(backend.check({ type: 'files', name: 'x', files: [] }, 'x')).rejects.toThrow('its own disk')
    await house.close()
  })

  it('has streams without number only where connections have', () => {
    const most = (protocol: string) =>
      serverBackend({ base: 'http://page/', apiKey: '', protocol, fetch: () => Promise.reject() }).maxStreams
    expect(most('http/1.1')).toBe(5)
    expect(most('')).toBe(5)
    expect(most('h2')).toBe(Number.POSITIVE_INFINITY)
  })
})
