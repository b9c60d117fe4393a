/** The completions endpoint: prompts in four shapes, echo, log probabilities, scoring, streams. */
import { describe, expect, it, vi } from 'vitest'
import type { Completion } from '../../src/api/responses.ts'
import { QueueFullError } from '../../src/engine/errors.ts'
import { fakeLogprobs } from './support/fakeEngine.ts'
import { answerOf, EOS, errorOf, eventsOf, type FakeHouse, fakeHouse } from './support/fakeService.ts'

const PATH = '/v1/completions'
const ids = (house: FakeHouse, text: string): number[] => house.tokenizer.encode(text, { addSpecialTokens: false })
const complete = async (house: FakeHouse, body: Record<string, unknown>): Promise<Completion> =>
  answerOf<Completion>(await house.post(PATH, body))

describe('a completion', () => {
  it('continues a text, 16 tokens unless told otherwise', async () => {
    const house = fakeHouse()
    house.says(' upon a time')
    const answer = await complete(house, { model: 'tiny', prompt: 'Once' })
    expect(answer).toMatchObject({
      object: 'text_completion',
      model: 'tiny',
      choices: [{ index: 0, text: ' upon a time', logprobs: null, finish_reason: 'stop', stop_reason: null }],
    })
    expect(answer.id).toMatch(/^cmpl-/)
    expect(house.engine.lastRequest.prompt).toEqual(house.tokenizer.encode('Once'))
    expect(house.engine.lastRequest.maxTokens).toBe(16)
  })

  it('takes prompts in all four shapes, and numbers choices prompt by prompt', async () => {
    const house = fakeHouse()
    house.engine.script = ({ prompt, sampling }) => ({ tokens: ids(house, ` ${prompt.length}/${sampling.seed}`) })
    const prompts = async (prompt: unknown, extra = {}) => {
      house.engine.generations.length = 0
      const { choices } = await complete(house, { prompt, seed: 7, ...extra })
      expect(choices.map(({ index }) => index)).toEqual(choices.map((_, index) => index))
      return choices.map(({ text }) => text)
    }
    const numTokens = house.tokenizer.encode('a b').length
    expect(await prompts('a b')).toEqual([` ${numTokens}/7`])
    expect(await prompts(['a b', 'a b'])).toEqual([` ${numTokens}/7`, ` ${numTokens}/7`])
    expect(await prompts([5, 6, 7])).toEqual([' 3/7'])
    expect(await prompts([[5], [6, 7]], { n: 2 })).toEqual([' 1/7', ' 1/8', ' 2/7', ' 2/8'])
    expect(house.engine.generations.map(({ request }) => request.prompt)).toEqual([[5], [5], [6, 7], [6, 7]])
  })

  it('counts the prompt once per prompt, not per choice', async () => {
    const house = fakeHouse()
    house.engine.script = () => ({ tokens: [50] })
    const { usage } = await complete(house, { prompt: [[1, 2, 3], [4]], n: 2 })
    expect(usage).toEqual({
      prompt_tokens: 4,
      completion_tokens: 8,
      total_tokens: 12,
      prompt_tokens_details: { cached_tokens: 0 },
    })
  })

  it('tells which prompt tokens were computed before, of each prompt once', async () => {
    const house = fakeHouse()
    house.engine.cachedTokens = (index) => [2, 3, 0, 1][index]!
    const body = { prompt: [[1, 2, 3], [4]], n: 2 }
    const { usage } = await complete(house, body)
    expect(usage).toMatchObject({ prompt_tokens: 4, prompt_tokens_details: { cached_tokens: 2 } })
  })

  it('draws a seed of its own for every generation without one', async () => {
    const house = fakeHouse()
    await complete(house, { prompt: ['a', 'b'], n: 2 })
    expect(house.engine.generations.map(({ request }) => request.sampling.seed)).toEqual([1000, 1001, 1002, 1003])
  })

  it('cuts the answer to what the context holds, but refuses a length that cannot fit', async () => {
    const house = fakeHouse()
    const prompt = Array(250).fill(9)
    await complete(house, { prompt })
    expect(house.engine.lastRequest.maxTokens).toBe(6)
    expect(await errorOf(await house.post(PATH, { prompt, max_tokens: 7 }))).toMatchObject({
      status: 400,
      param: 'prompt',
      message: expect.stringContaining('requested 7 output tokens and your prompt contains at least 250 input tokens'),
    })
  })

  it('echoes text prompts as they were sent and id prompts decoded', async () => {
    const house = fakeHouse()
    house.says(' there')
    const prompt = ids(house, 'Hello')
    const { choices } = await complete(house, { prompt: 'Hello', echo: true })
    expect(choices[0]!.text).toBe('Hello there')
    expect((await complete(house, { prompt, echo: true })).choices[0]!.text).toBe('Hello there')
  })

  it('scores a prompt with echo, logprobs and no token of its own', async () => {
    const house = fakeHouse()
    const prompt = ids(house, 'One two 🦜 three')
    const { choices, usage } = await complete(house, { prompt, echo: true, logprobs: 2, max_tokens: 0 })
    const [{ text, logprobs, finish_reason }] = choices as [Completion['choices'][number]]
    expect(house.engine.lastRequest).toMatchObject({ maxTokens: 0, promptLogprobs: 2 })
    expect(text).toBe('One two 🦜 three')
    expect(finish_reason).toBe('length')
    expect(usage).toMatchObject({ prompt_tokens: prompt.length, completion_tokens: 0 })
    expect(logprobs!.tokens).toEqual(prompt.map((token) => house.tokenizer.tokenText(token).text))
    expect(logprobs!.token_logprobs[0]).toBeNull()
    expect(logprobs!.top_logprobs[0]).toBeNull()
    expect(logprobs!.token_logprobs.slice(1)).toEqual(
      prompt.slice(1).map((token, i) => fakeLogprobs(token, 2, i + 1).logprob),
    )
    // Offsets are places in the text: each token's own text begins there, where it is whole.
    const characters = [...text]
    for (const [i, token] of logprobs!.tokens.entries()) {
      if (!token.includes('\ufffd')) {
        expect(characters.slice(logprobs!.text_offset[i]).join('').startsWith(token)).toBe(true)
      }
    }
  })

  it('places tokens in the text, special ones where they are written and not where they are not', async () => {
    const house = fakeHouse()
    const offsets = async (prompt: unknown): Promise<number[]> =>
      (await complete(house, { prompt, echo: true, logprobs: 0, max_tokens: 1 })).choices[0]!.logprobs!.text_offset
    house.engine.script = () => ({ tokens: [house.tokenizer.bosTokenId!] })
    const user = house.tokenizer.tokenId('<|user|>')!
    const a = house.tokenizer.tokenId('a')!
    expect(await offsets([user, a, user, a])).toEqual([0, 8, 9, 17, 18])
    // What the tokenizer adds in front is not part of the text.
    const encode = vi.spyOn(house.tokenizer, 'encode').mockReturnValue([house.tokenizer.bosTokenId!, a, user])
    expect(await offsets('a<|user|>')).toEqual([0, 0, 1, 9])
    encode.mockRestore()
    // In an answer special tokens are left out of the text unless asked for.
    house.engine.script = () => ({ tokens: [user, a] })
    const answer = async (body: object) =>
      (await complete(house, { prompt: [a], logprobs: 0, ...body })).choices[0]!.logprobs!.text_offset
    // The last is the one that ended it.
    expect(await answer({})).toEqual([0, 0, 1])
    expect(await answer({ skip_special_tokens: false })).toEqual([0, 8, 9])
  })

  it('gives log probabilities of prompt and answer in one row with echo', async () => {
    const house = fakeHouse()
    house.says(' there')
    const prompt = ids(house, 'Hello')
    const answer = ids(house, ' there')
    const { choices } = await complete(house, { prompt, echo: true, logprobs: 0 })
    const { logprobs } = choices[0]!
    expect(logprobs!.tokens).toHaveLength(prompt.length + answer.length + 1)
    expect(logprobs!.text_offset[prompt.length]).toBe('Hello'.length)
    // logprobs: 0 still tells the token itself, that which ended the answer included.
    expect(logprobs!.top_logprobs.slice(prompt.length)).toEqual(
      [...answer, EOS].map((token, i) => ({
        [house.tokenizer.tokenText(token).text]: fakeLogprobs(token, 0, i).logprob,
      })),
    )
  })

  it('gives prompt_logprobs per choice, and the ids on request', async () => {
    const house = fakeHouse()
    house.engine.script = () => ({ tokens: [50] })
    const { choices } = await complete(house, { prompt: [7, 8], prompt_logprobs: 0, return_token_ids: true })
    const { logprob, rank } = fakeLogprobs(8, 0, 1)
    expect(choices[0]).toMatchObject({
      prompt_logprobs: [null, { 8: { logprob, rank, decoded_token: house.tokenizer.tokenText(8).text } }],
      prompt_token_ids: [7, 8],
      token_ids: [50, EOS],
    })
  })

  it('writes an impossible token as a number JSON has', async () => {
    const house = fakeHouse()
    house.engine.script = () => ({ tokens: [50] })
    const generate = house.engine.generate.bind(house.engine)
    house.engine.generate = (request) => {
      const generation = generate(request)
      return {
        abort: () => generation.abort(),
        async *[Symbol.asyncIterator]() {
          for await (const event of generation) {
            if (event.type !== 'token') yield event
            else yield { ...event, logprobs: { logprob: -Infinity, rank: 9, top: [{ token: 1, logprob: -Infinity }] } }
          }
        },
      }
    }
    const { choices } = await complete(house, { prompt: [7], logprobs: 1 })
    expect(choices[0]!.logprobs!.token_logprobs[0]).toBe(-9999)
  })
})

describe('a streamed completion', () => {
  it('carries text, echo and finish, per choice', async () => {
    const house = fakeHouse()
    house.engine.script = ({ prompt }) => ({ tokens: ids(house, ` after ${prompt.length}`) })
    const events = await eventsOf<Completion>(
      await house.post(PATH, {
        prompt: ['a', 'b b'],
        echo: true,
        stream: true,
        stream_options: { include_usage: true },
      }),
    )
    const texts = ['', '']
    for (const { choices } of events) for (const { index, text } of choices) texts[index] += text
    const count = (text: string): number => house.tokenizer.encode(text).length
    expect(texts).toEqual([`a after ${count('a')}`, `b b after ${count('b b')}`])
    expect(events.filter(({ choices }) => choices[0]?.finish_reason === 'stop')).toHaveLength(2)
    const whole = await complete(house, { prompt: ['a', 'b b'], echo: true })
    expect(events.at(-1)).toMatchObject({ choices: [], usage: whole.usage })
  })

  it.each([{}, { include_stop_str_in_output: true, skip_special_tokens: false }])(
    'gives the same log probabilities as the whole answer, with %j',
    async (more) => {
      const house = fakeHouse()
      house.says(' there 🦜, my friend')
      const body = {
        prompt: ids(house, 'Hello'),
        echo: true,
        logprobs: 2,
        max_tokens: 64,
        return_token_ids: true,
        ...more,
      }
      const whole = (await complete(house, body)).choices[0]!
      const events = await eventsOf<Completion>(await house.post(PATH, { ...body, stream: true }))
      const parts = events.map(({ choices }) => choices[0]!)
      const join = <Key extends 'tokens' | 'token_logprobs' | 'top_logprobs' | 'text_offset'>(key: Key) =>
        parts.flatMap(({ logprobs }) => (logprobs?.[key] ?? []) as unknown[])
      for (const key of ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset'] as const) {
        expect(join(key)).toEqual(whole.logprobs![key])
      }
      expect(parts.map(({ text }) => text).join('')).toBe(whole.text)
      expect(parts.flatMap(({ token_ids }) => token_ids ?? [])).toEqual(whole.token_ids)
      expect(parts.filter(({ prompt_token_ids }) => prompt_token_ids)).toHaveLength(1)
    },
  )
})

describe('bad completions', () => {
  it.each<[string, Record<string, unknown>, string, string]>([
    ['no prompt', {}, 'prompt', '`prompt` is required.'],
    ['an empty prompt', { prompt: '' }, 'prompt', '`prompt` must be provided and non-empty.'],
    ['an empty list', { prompt: [] }, 'prompt', '`prompt` must be provided and non-empty.'],
    ['an empty prompt in a list', { prompt: ['a', ''] }, 'prompt[1]', '`prompt[1]` must not be empty.'],
    ['an empty list in a list', { prompt: [[1], []] }, 'prompt[1]', '`prompt[1]` must not be empty.'],
    [
      'a prompt of a wrong type',
      { prompt: 5 },
      'prompt',
      '`prompt` must be a string, an array of strings, or token ids, got 5.',
    ],
    ['mixed prompts', { prompt: [1, 'a'] }, 'prompt[1]', '`prompt[1]` must be a token id, got "a".'],
    ['a fraction of a token', { prompt: [1.5] }, 'prompt[0]', '`prompt[0]` must be a token id, got 1.5.'],
    ['a negative token', { prompt: [[1], [-1]] }, 'prompt[1][0]', '`prompt[1][0]` must be a token id, got -1.'],
    [
      'a token out of vocabulary',
      { prompt: [[1], [2, 512]] },
      'prompt[1]',
      'Token id 512 is out of vocabulary: the model has ids below 512.',
    ],
    [
      'too many generations',
      { prompt: Array(9).fill('a'), n: 128 },
      'prompt',
      '9 prompts with n=128 make 1152 generations; at most 1024 fit a request.',
    ],
    [
      'max_tokens 0 for nothing',
      { prompt: 'a', max_tokens: 0 },
      'max_tokens',
      'max_tokens must be at least 1, got 0. (0 is for `echo`.)',
    ],
    [
      'too many logprobs',
      { prompt: 'a', logprobs: 21 },
      'logprobs',
      'Requested sample logprobs of 21, which is greater than max allowed: 20',
    ],
    [
      'logprobs as chats have them',
      { prompt: 'a', logprobs: true },
      'logprobs',
      '`logprobs` must be a number, got true.',
    ],
    [
      'suffix',
      { prompt: 'a', suffix: 'b' },
      'suffix',
      '`suffix` is not supported: lorikeet does not implement it yet.',
    ],
    [
      'best_of',
      { prompt: 'a', best_of: 2 },
      'best_of',
      '`best_of` is not supported: lorikeet does not implement it yet.',
    ],
  ])('%s', async (_, body, param, message) => {
    const house = fakeHouse()
    expect(await errorOf(await house.post(PATH, body))).toEqual({
      status: 400,
      type: 'BadRequestError',
      code: 400,
      param,
      message,
    })
    expect(house.engine.generations).toEqual([])
  })

  it('that are far too long are refused before they are tokenized', async () => {
    const house = fakeHouse()
    const prompt = ' '.repeat(5_000_000)
    const encode = vi.spyOn(house.tokenizer, 'encode')
    const expected = { status: 400, message: expect.stringContaining('You passed 5000000 input characters') }
    expect(await errorOf(await house.post(PATH, { prompt }))).toMatchObject({ ...expected, param: 'prompt' })
    const messages = [{ role: 'user', content: 'x'.repeat(5_000_000) }]
    expect(await errorOf(await house.post('/v1/chat/completions', { messages }))).toMatchObject({
      status: 400,
      param: 'messages',
      message: expect.stringMatching(/^You passed 50\d+ input characters/),
    })
    expect(encode).not.toHaveBeenCalled()
    encode.mockRestore()
  })

  it('start nothing when the queue is full in the middle', async () => {
    const house = fakeHouse()
    house.engine.refuse = (index) => (index === 2 ? new QueueFullError(2) : null)
    const response = await house.post(PATH, { model: 'pirate', prompt: ['a', 'b', 'c'] })
    expect(response.headers.get('retry-after')).toBe('1')
    expect(await errorOf(response)).toMatchObject({ status: 429, type: 'RateLimitError' })
    expect(house.engine.running).toEqual([])
    expect(house.leases).toEqual([])
  })
})
