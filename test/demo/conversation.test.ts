/** The page's client and its state, against the real handler: no browser needed. */
import { describe, expect, it } from 'vitest'
import { Client, ServerError } from '../../demo/src/client.ts'
import { Conversation } from '../../demo/src/conversation.ts'
import { type FakeHouse, fakeHouse } from '../api/support/fakeService.ts'

function clientOf(house: FakeHouse): Client {
  return new Client('http://page/', (input, init) => house.handler(new Request(input as string, init)))
}

async function connected(house: FakeHouse, apiKey = ''): Promise<Conversation> {
  const conversation = new Conversation(clientOf(house))
  await conversation.connect(apiKey)
  return conversation
}

const texts = (conversation: Conversation): string[] => conversation.lines.value.map(({ text }) => text.value)

describe('the page', () => {
  it('learns the voices and begins with the base', async () => {
    const conversation = await connected(fakeHouse())
    expect(conversation.voices.value.map(({ id }) => id)).toEqual(['org/tiny', 'tiny', 'pirate', 'team/tutor'])
    expect(conversation.voice.value).toBe('org/tiny')
    expect(conversation.hasChat.value).toBe(true)
    expect(conversation.isReady.value).toBe(true)
  })

  it('brings an answer in the chosen voice, with what was said before', async () => {
    const house = fakeHouse()
    const conversation = await connected(house)
    house.says('Ahoy! 🦜')
    conversation.voice.value = 'pirate'
    conversation.systemPrompt.value = 'Be brief.'
    await conversation.say('Hello')
    await conversation.say('Again')
    expect(texts(conversation)).toEqual(['Hello', 'Ahoy! 🦜', 'Again', 'Ahoy! 🦜'])
    expect(conversation.lines.value[1]).toMatchObject({ role: 'assistant', voice: 'pirate' })
    expect(conversation.lines.value[1]!.state.value).toMatchObject({
      type: 'whole',
      note: expect.stringMatching(/^\d+ tokens/),
    })
    const prompt = house.tokenizer.decode(house.engine.lastRequest.prompt)
    for (const part of ['Be brief.', 'Hello', 'Ahoy! 🦜', 'Again']) expect(prompt).toContain(part)
    expect(house.engine.lastRequest.adapter?.name).toBe('pirate')
  })

  it('stops an answer, keeps what came, and frees the generation', async () => {
    const house = fakeHouse()
    const conversation = await connected(house)
    house.engine.script = () => ({ tokens: Array<number>(200).fill(50) })
    let count = 0
    house.engine.gate = async () => {
      if (++count === 5) conversation.stop()
    }
    await conversation.say('Hello')
    expect(conversation.lines.value[1]!.state.value).toEqual({ type: 'whole', note: 'stopped' })
    expect(conversation.isAnswering.value).toBe(false)
    expect(house.engine.running).toEqual([])
  })

  it('shows what went wrong and leaves it out of what the model gets', async () => {
    const house = fakeHouse()
    const conversation = await connected(house)
    house.engine.script = () => ({ tokens: [50, 51], failAt: { index: 1, error: new Error('broken') } })
    await conversation.say('First')
    expect(conversation.lines.value[1]!.state.value).toMatchObject({ type: 'failed' })
    house.says('Fine.')
    await conversation.say('Second')
    expect(house.tokenizer.decode(house.engine.lastRequest.prompt)).not.toContain('First')
    expect(texts(conversation).at(-1)).toBe('Fine.')
  })

  it('continues text where there is no chat template', async () => {
    const house = fakeHouse({ service: { template: null } })
    const conversation = await connected(house)
    expect(conversation.hasChat.value).toBe(false)
    house.says(' upon a time')
    await conversation.say('Once')
    expect(texts(conversation)).toEqual(['Once', ' upon a time'])
    expect(house.engine.lastRequest.prompt).toEqual(house.tokenizer.encode('Once'))
  })

  it('asks for a key where one is needed', async () => {
    const house = fakeHouse({ apiKeys: ['k'] })
    const conversation = await connected(house)
    expect(conversation.problem.value).toMatchObject({ needsKey: true })
    expect(conversation.isReady.value).toBe(false)
    await conversation.connect('k')
    expect(conversation.problem.value).toBeNull()
    expect(conversation.isReady.value).toBe(true)
  })

  it('says when the server is gone', async () => {
    const conversation = new Conversation(
      new Client('http://page/', () => Promise.reject(new TypeError('fetch failed'))),
    )
    await conversation.connect('')
    expect(conversation.problem.value).toEqual({
      message: 'The server cannot be reached. Is it still running?',
      needsKey: false,
    })
  })
})

describe('the client', () => {
  it('reads events however the network cuts them, and misses no end', async () => {
    const bytes = new TextEncoder().encode(
      'data: {"choices":[{"delta":{"content":"a🦜"},"finish_reason":null}]}\n\ndata: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
    )
    const cut = (tail: string) =>
      new Client('http://page/', async () => {
        const all = [...bytes, ...new TextEncoder().encode(tail)]
        return new Response(
          new ReadableStream({
            pull(controller) {
              const byte = all.shift()
              if (byte === undefined) controller.close()
              else controller.enqueue(new Uint8Array([byte]))
            },
          }),
        )
      })
    const ask = {
      voice: 'a',
      turns: [],
      hasChat: true,
      maxTokens: 1,
      temperature: 0,
      signal: new AbortController().signal,
    }
    const read = async (client: Client) => {
      const pieces = []
      for await (const piece of client.ask(ask)) pieces.push(piece)
      return pieces
    }
    expect(await read(cut('data: [DONE]\n\n'))).toEqual([
      { type: 'text', text: 'a🦜' },
      { type: 'end', reason: 'stop' },
    ])
    await expect(read(cut(''))).rejects.toThrow(ServerError)
  })
})
