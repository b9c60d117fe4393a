/** Streams under strain: readers that leave, readers that do not read, many at once. */
import { describe, expect, it, vi } from 'vitest'
import type { ChatCompletionChunk } from '../../src/api/responses.ts'
import { errorOf, eventsOf, fakeHouse } from './support/fakeService.ts'

const PATH = '/v1/chat/completions'
const messages = [{ role: 'user', content: 'Hello' }]
const endless = () => ({ tokens: Array<number>(1000).fill(50) })

/** Lets everything that is ready happen. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('a reader that leaves', () => {
  it('by cancelling the body ends the generation', async () => {
    const house = fakeHouse()
    house.engine.script = endless
    const response = await house.post(PATH, { messages, model: 'pirate', stream: true, n: 2 })
    const reader = response.body!.getReader()
    for (let i = 0; i < 5; i++) await reader.read()
    expect(house.engine.running).toHaveLength(2)
    expect(house.leases).toEqual(['pirate', 'pirate'])
    await reader.cancel()
    await settle()
    expect(house.engine.running).toEqual([])
    expect(house.leases).toEqual([])
    expect(house.log.filter(({ level }) => level === 'error')).toEqual([])
  })

  it('while the engine has nothing to give is noticed at once', async () => {
    const house = fakeHouse()
    house.engine.script = endless
    house.engine.gate = () => new Promise(() => {})
    const response = await house.post(PATH, { messages, stream: true })
    const reader = response.body!.getReader()
    await reader.read()
    const pending = reader.read()
    await settle()
    await reader.cancel()
    await pending
    await settle()
    expect(house.engine.running).toEqual([])
  })

  it('before reading anything ends it too', async () => {
    const house = fakeHouse()
    house.engine.script = endless
    const response = await house.post(PATH, { messages, stream: true })
    await response.body!.cancel()
    await settle()
    expect(house.engine.running).toEqual([])
  })

  it('by its signal ends it, streamed or whole', async () => {
    for (const stream of [true, false]) {
      const house = fakeHouse()
      house.engine.script = endless
      house.engine.gate = () => new Promise(() => {})
      const gone = new AbortController()
      const pending = house.post(PATH, { messages, stream }, { signal: gone.signal })
      await settle()
      expect(house.engine.running).toHaveLength(1)
      gone.abort()
      const response = await pending
      if (!stream) expect(await errorOf(response)).toMatchObject({ status: 499 })
      await settle()
      expect(house.engine.running).toEqual([])
    }
  })

  it('is listened for once, however many choices there are', async () => {
    const house = fakeHouse()
    house.engine.script = endless
    house.engine.gate = () => new Promise(() => {})
    const gone = new AbortController()
    const listen = vi.spyOn(EventTarget.prototype, 'addEventListener')
    const pending = house.post(PATH, { messages, n: 64 }, { signal: gone.signal })
    await settle()
    expect(house.engine.running).toHaveLength(64)
    // Node warns of a leak at eleven.
    expect(listen.mock.calls.filter(([type]) => type === 'abort').length).toBeLessThan(11)
    listen.mockRestore()
    gone.abort()
    expect((await pending).status).toBe(499)
    await settle()
    expect(house.engine.running).toEqual([])
  })

  it('before anything began starts nothing', async () => {
    const house = fakeHouse()
    const gone = AbortSignal.abort()
    const response = await house.post(PATH, { messages, model: 'pirate' }, { signal: gone })
    expect(response.status).toBe(499)
    expect(house.engine.generations).toEqual([])
    expect(house.leases).toEqual([])
  })
})

describe('a reader that does not read', () => {
  it('pulls no tokens', async () => {
    const house = fakeHouse()
    house.engine.script = endless
    const response = await house.post(PATH, { messages, stream: true })
    await settle()
    const reader = response.body!.getReader()
    await reader.read()
    await settle()
    expect(house.engine.generations[0]!.numPulled).toBeLessThanOrEqual(1)
    for (let i = 0; i < 10; i++) await reader.read()
    await settle()
    expect(house.engine.generations[0]!.numPulled).toBeLessThanOrEqual(11)
    await reader.cancel()
  })
})

describe('many at once', () => {
  it('do not mix, and each is complete', async () => {
    const house = fakeHouse()
    house.engine.script = ({ sampling }) => ({
      tokens: house.tokenizer.encode(`I am stream ${sampling.seed} of many 🦜.`, { addSpecialTokens: false }),
    })
    const texts = await Promise.all(
      Array.from({ length: 50 }, async (_, seed) => {
        const response = await house.post(PATH, { messages, stream: true, seed, model: ['tiny', 'pirate'][seed % 2] })
        const events = await eventsOf<ChatCompletionChunk>(response)
        return events.map(({ choices }) => choices[0]!.delta.content ?? '').join('')
      }),
    )
    expect(texts).toEqual(Array.from({ length: 50 }, (_, seed) => `I am stream ${seed} of many 🦜.`))
    expect(house.leases).toEqual([])
    expect(house.engine.running).toEqual([])
  })
})

describe('choices of one request', () => {
  it('end each by itself, long after the shortest', async () => {
    const house = fakeHouse()
    house.engine.script = ({ sampling }) => ({ tokens: Array<number>(1 + 20 * sampling.seed).fill(50) })
    const events = await eventsOf<ChatCompletionChunk>(
      await house.post(PATH, { messages, stream: true, n: 3, seed: 0 }),
    )
    const counts = [0, 0, 0]
    for (const { choices } of events) if (choices[0]!.delta.content) counts[choices[0]!.index]!++
    expect(counts).toEqual([1, 21, 41])
  })

  it('that hit their stop string leave the engine while others go on', async () => {
    const house = fakeHouse()
    const [a, b] = ['a', 'b'].map((text) => house.tokenizer.encode(text, { addSpecialTokens: false })[0]!)
    house.engine.script = ({ sampling }) => ({ tokens: Array<number>(200).fill(sampling.seed === 0 ? a! : b!) })
    const response = await house.post(PATH, { messages, stream: true, n: 2, seed: 0, stop: 'aaa' })
    const reader = response.body!.getReader()
    for (let i = 0; i < 20; i++) await reader.read()
    expect(house.engine.running.map(({ request }) => request.sampling.seed)).toEqual([1])
    expect(house.engine.generations[0]!.numPulled).toBe(3)
    await reader.cancel()
  })
})

describe('an engine that ends a generation on its own', () => {
  it('is an error to the client, not a short answer', async () => {
    const house = fakeHouse()
    house.engine.script = endless
    house.engine.gate = () => new Promise(() => {})
    const answer = house.post(PATH, { messages })
    await settle()
    house.engine.generations[0]!.abort()
    expect(await errorOf(await answer)).toMatchObject({ status: 503, type: 'ServiceUnavailableError' })
  })
})
