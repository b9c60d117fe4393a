/** The `openai` package as it is, talking to the handler in-process. */
import OpenAI from 'openai'
import { describe, expect, it } from 'vitest'
import { type FakeHouse, fakeHouse } from './support/fakeService.ts'

const messages = [{ role: 'user' as const, content: 'Hello' }]

function clientOf(house: FakeHouse, apiKey = 'none'): OpenAI {
  return new OpenAI({
    baseURL: 'http://lorikeet/v1',
    apiKey,
    fetch: (url, init) => house.handler(new Request(url as string, init)),
    maxRetries: 0,
  })
}

describe('the openai client', () => {
  it('lists and finds models', async () => {
    const client = clientOf(fakeHouse())
    const ids: string[] = []
    for await (const model of client.models.list()) ids.push(model.id)
    expect(ids).toEqual(['org/tiny', 'tiny', 'pirate', 'team/tutor'])
    expect((await client.models.retrieve('team/tutor')).id).toBe('team/tutor')
  })

  it('chats', async () => {
    const house = fakeHouse()
    house.says('Ahoy! 🦜')
    const answer = await clientOf(house).chat.completions.create({
      model: 'pirate',
      messages,
      logprobs: true,
      top_logprobs: 1,
    })
    expect(answer.choices[0]!.message.content).toBe('Ahoy! 🦜')
    expect(answer.choices[0]!.logprobs!.content![0]!.top_logprobs).toHaveLength(1)
    expect(answer.usage!.total_tokens).toBeGreaterThan(0)
    expect(answer._request_id).toBe(answer.id.slice('chatcmpl-'.length))
  })

  it('streams', async () => {
    const house = fakeHouse()
    house.says('Ahoy! 🦜 こんにちは')
    const stream = await clientOf(house).chat.completions.create({
      model: 'pirate',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    })
    let text = ''
    let usage: OpenAI.CompletionUsage | null | undefined
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      usage = chunk.usage
    }
    expect(text).toBe('Ahoy! 🦜 こんにちは')
    expect(usage!.completion_tokens).toBeGreaterThan(1)
  })

  it('gathers a stream by its helper', async () => {
    const house = fakeHouse()
    house.says('Ahoy, sailor!')
    const runner = clientOf(house).chat.completions.stream({ model: 'pirate', messages, n: 2, seed: 1 })
    const final = await runner.finalChatCompletion()
    expect(final.choices.map(({ message }) => message.content)).toEqual(['Ahoy, sailor!', 'Ahoy, sailor!'])
    expect(final.choices[0]!.finish_reason).toBe('stop')
  })

  it('frees the generation when it stops reading', async () => {
    const house = fakeHouse()
    house.engine.script = () => ({ tokens: Array<number>(1000).fill(50) })
    const stream = await clientOf(house).chat.completions.create({ model: 'pirate', messages, stream: true })
    let count = 0
    for await (const _ of stream) if (++count === 3) break
    await new Promise((resolve) => setImmediate(resolve))
    expect(house.engine.running).toEqual([])
    expect(house.leases).toEqual([])
  })

  it('completes', async () => {
    const house = fakeHouse()
    house.says(' upon a time')
    const client = clientOf(house)
    const answer = await client.completions.create({ model: 'tiny', prompt: 'Once', logprobs: 2, echo: true })
    expect(answer.choices[0]!.text).toBe('Once upon a time')
    expect(answer.choices[0]!.logprobs!.text_offset![0]).toBe(0)
    const stream = await client.completions.create({ model: 'tiny', prompt: [5, 6], stream: true })
    let text = ''
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? ''
    expect(text).toBe(' upon a time')
  })

  it('meets errors as its own classes', async () => {
    const house = fakeHouse({ apiKeys: ['key'] })
    const client = clientOf(house, 'key')
    await expect(client.chat.completions.create({ model: 'nobody', messages })).rejects.toThrow(OpenAI.NotFoundError)
    await expect(client.chat.completions.create({ model: 'tiny', messages, temperature: 9 })).rejects.toThrow(
      OpenAI.BadRequestError,
    )
    await expect(clientOf(house, 'wrong').models.list()).rejects.toThrow(OpenAI.AuthenticationError)
    house.engine.script = () => ({ tokens: [50], failAt: { index: 1, error: new Error('broken') } })
    const stream = await client.chat.completions.create({ model: 'tiny', messages, stream: true })
    const read = async (): Promise<void> => {
      for await (const _ of stream);
    }
    await expect(read()).rejects.toThrow(OpenAI.APIError)
  })
})
