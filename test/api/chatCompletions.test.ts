/** The chat endpoint, whole and streamed, against a scripted engine. */
import { describe, expect, it } from 'vitest'
import type { ChatCompletion, ChatCompletionChunk } from '../../src/api/responses.ts'
import { QueueFullError } from '../../src/engine/errors.ts'
import { fakeLogprobs } from './support/fakeEngine.ts'
import { answerOf, EOS, errorOf, eventsOf, fakeHouse } from './support/fakeService.ts'

const PATH = '/v1/chat/completions'
const messages = [{ role: 'user', content: 'Hello' }]

describe('a chat', () => {
  it('answers with one message, its usage and its reason to stop', async () => {
    const house = fakeHouse()
    house.says('Good day, sailor.')
    const response = await house.post(PATH, { messages })
    expect(response.status).toBe(200)
    const { id, created, usage, ...rest } = await answerOf<ChatCompletion>(response)
    expect(id).toBe(`chatcmpl-${response.headers.get('x-request-id')}`)
    expect(Math.abs(created - Date.now() / 1000)).toBeLessThan(60)
    expect(rest).toEqual({
      object: 'chat.completion',
      model: 'org/tiny',
      system_fingerprint: 'lorikeet-0.0.0-test',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Good day, sailor.', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
          stop_reason: null,
        },
      ],
    })
    const numTokens = house.tokenizer.encode('Good day, sailor.', { addSpecialTokens: false }).length
    const numPrompt = house.engine.lastRequest.prompt.length
    // The end of sequence is a generated token too.
    expect(usage).toEqual({
      prompt_tokens: numPrompt,
      completion_tokens: numTokens + 1,
      total_tokens: numPrompt + numTokens + 1,
      prompt_tokens_details: { cached_tokens: 0 },
    })
  })

  it('is rendered by the model’s template, without special tokens of its own', async () => {
    const house = fakeHouse()
    await house.post(PATH, { messages: [{ role: 'system', content: 'Be brief.' }, ...messages] })
    const { prompt } = house.engine.lastRequest
    expect(house.tokenizer.decode(prompt)).toBe(
      house.service.template!.render({
        messages: [{ role: 'system', content: 'Be brief.' }, ...messages],
        bosToken: house.tokenizer.bosToken,
        eosToken: house.tokenizer.eosToken,
      }),
    )
    expect(prompt.filter((token) => token === house.tokenizer.bosTokenId)).toHaveLength(1)
  })

  it('takes content as text parts', async () => {
    const house = fakeHouse()
    const parts = [
      { type: 'text', text: 'Hel' },
      { type: 'text', text: 'lo' },
    ]
    await house.post(PATH, { messages: [{ role: 'user', content: parts }] })
    const text = house.tokenizer.decode(house.engine.lastRequest.prompt)
    expect(text).toContain('Hel\nlo')
  })

  it('gives the engine what was asked', async () => {
    const house = fakeHouse()
    await house.post(PATH, {
      messages,
      max_completion_tokens: 7,
      max_tokens: 9,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      seed: 42,
      min_tokens: 2,
      stop_token_ids: [11, 12, 11],
    })
    const { prompt, adapter, signal, id, ...request } = house.engine.lastRequest
    expect(request).toEqual({
      sampling: { temperature: 0.5, topP: 0.9, topK: 40, minP: 0.05, seed: 42 },
      maxTokens: 7,
      minTokens: 2,
      stopIds: [EOS, 11, 12],
      topLogprobs: null,
      promptLogprobs: null,
    })
    expect(adapter).toBeNull()
  })

  it('gives the sampler penalties, biases and allowed ids, and leaves out neutral ones', async () => {
    const house = fakeHouse({ defaults: { repetitionPenalty: 1.1 } })
    const samplingOf = async (fields: object) => {
      expect((await house.post(PATH, { messages, seed: 1, ...fields })).status).toBe(200)
      return house.engine.lastRequest.sampling
    }
    const neutral = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 1 }
    expect(await samplingOf({})).toEqual({ ...neutral, repetitionPenalty: 1.1 })
    const nothing = { repetition_penalty: 1, presence_penalty: 0, frequency_penalty: -0, logit_bias: {} }
    expect(await samplingOf(nothing)).toEqual(neutral)
    expect(await samplingOf({ ...nothing, allowed_token_ids: null, logit_bias: null })).toEqual(neutral)
    const everything = {
      temperature: 0,
      presence_penalty: 0.5,
      frequency_penalty: -2,
      repetition_penalty: 1.3,
      logit_bias: { 300: 2.5, 7: -100, 20: 1000, '011': -1e9 },
      allowed_token_ids: [0, 31, 32, 511, 31],
    }
    const mask = new Uint32Array(16)
    mask[0] = 0x80000001
    mask[1] = 1
    mask[15] = 0x80000000
    expect(await samplingOf(everything)).toEqual({
      ...neutral,
      temperature: 0,
      presencePenalty: 0.5,
      frequencyPenalty: -2,
      repetitionPenalty: 1.3,
      logitBias: [
        { id: 7, bias: -100 },
        { id: 11, bias: -100 },
        { id: 20, bias: 100 },
        { id: 300, bias: 2.5 },
      ],
      allowed: mask,
    })
  })

  it('fills what is missing from generation_config.json, then with neutral values', async () => {
    const plain = fakeHouse()
    await plain.post(PATH, { messages })
    const { prompt } = plain.engine.lastRequest
    expect(plain.engine.lastRequest.sampling).toEqual({ temperature: 1, topK: 0, topP: 1, minP: 0, seed: 1000 })
    expect(plain.engine.lastRequest.maxTokens).toBe(256 - prompt.length)

    const configured = fakeHouse({
      defaults: { temperature: 0.7, topK: 20, topP: 0.8, minP: 0.1, maxNewTokens: 33, eosTokenIds: [1, EOS] },
    })
    await configured.post(PATH, { messages, top_k: -1 })
    expect(configured.engine.lastRequest.sampling).toEqual({
      temperature: 0.7,
      topK: 0,
      topP: 0.8,
      minP: 0.1,
      seed: 1000,
    })
    expect(configured.engine.lastRequest.maxTokens).toBe(33)
    expect(configured.engine.lastRequest.stopIds).toEqual([1, EOS])
    await configured.post(PATH, { messages, ignore_eos: true })
    expect(configured.engine.lastRequest.stopIds).toEqual([])
  })

  it('reads temperature 0 as greedy, whatever the filters', async () => {
    const house = fakeHouse()
    await house.post(PATH, { messages, temperature: 0, top_p: 0.5, top_k: 3, min_p: 0.1, seed: 1 })
    expect(house.engine.lastRequest.sampling).toEqual({ temperature: 0, topK: 0, topP: 1, minP: 0, seed: 1 })
  })

  it('folds a 64-bit seed and counts up over choices', async () => {
    const house = fakeHouse()
    await house.post(PATH, { messages, seed: 2 ** 32 - 1, n: 2 })
    expect(house.engine.generations.map(({ request }) => request.sampling.seed)).toEqual([2 ** 32 - 1, 0])
    await house.post(PATH, { messages, seed: -5 })
    const negative = house.engine.lastRequest.sampling.seed
    await house.post(PATH, { messages, seed: 2 ** 40 + 3 })
    const wide = house.engine.lastRequest.sampling.seed
    for (const seed of [negative, wide]) expect(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32).toBe(true)
    expect(wide).not.toBe(3)
  })

  it('stops at a stop string, which leaves no trace', async () => {
    const house = fakeHouse()
    house.says('one two STOP three')
    const response = await house.post(PATH, { messages, stop: ['never', ' STOP'] })
    const { choices, usage } = await answerOf<ChatCompletion>(response)
    expect(choices[0]).toMatchObject({
      message: { content: 'one two' },
      finish_reason: 'stop',
      stop_reason: ' STOP',
    })
    const [generation] = house.engine.generations
    expect(generation!.hasEnded).toBe(true)
    expect(usage.completion_tokens).toBe(generation!.numPulled)
    expect(generation!.numPulled).toBeLessThan(
      house.tokenizer.encode('one two STOP three', { addSpecialTokens: false }).length,
    )
  })

  it('keeps the stop string on request, and the held back text when it was none', async () => {
    const house = fakeHouse()
    house.says('one two STO')
    const kept = await house.post(PATH, { messages, stop: ' two', include_stop_str_in_output: true })
    expect((await answerOf<ChatCompletion>(kept)).choices[0]!.message.content).toBe('one two')
    const none = await house.post(PATH, { messages, stop: ' STOP' })
    expect((await answerOf<ChatCompletion>(none)).choices[0]).toMatchObject({
      message: { content: 'one two STO' },
      stop_reason: null,
    })
  })

  it('says which stop token ended it', async () => {
    const house = fakeHouse()
    house.engine.script = () => ({ tokens: [40, 41], stopId: 77 })
    const response = await house.post(PATH, { messages, stop_token_ids: [77], return_token_ids: true })
    const body = await answerOf<ChatCompletion>(response)
    expect(body.choices[0]).toMatchObject({ finish_reason: 'stop', stop_reason: 77, token_ids: [40, 41, 77] })
    expect(body.prompt_token_ids).toEqual(house.engine.lastRequest.prompt)
    expect(body.usage.completion_tokens).toBe(3)
  })

  it('ends for length', async () => {
    const house = fakeHouse()
    house.says('a b c d e f g')
    const response = await house.post(PATH, { messages, max_tokens: 3 })
    const { choices, usage } = await answerOf<ChatCompletion>(response)
    expect(choices[0]!.finish_reason).toBe('length')
    expect(usage.completion_tokens).toBe(3)
  })

  it('ignores stop strings before min_tokens', async () => {
    const house = fakeHouse()
    house.engine.script = () => ({
      tokens: [...'xxxxxx'].flatMap((c) => house.tokenizer.encode(c, { addSpecialTokens: false })),
    })
    const response = await house.post(PATH, { messages, stop: 'x', min_tokens: 3 })
    expect((await answerOf<ChatCompletion>(response)).choices[0]!.message.content).toBe('xxx')
  })

  it('gives log probabilities in the shape of chats', async () => {
    const house = fakeHouse()
    house.engine.script = () => ({ tokens: [50, 51] })
    const response = await house.post(PATH, { messages, logprobs: true, top_logprobs: 2 })
    const { choices } = await answerOf<ChatCompletion>(response)
    const expected = fakeLogprobs(50, 2, 0)
    const name = (token: number) => house.tokenizer.tokenText(token)
    // As in vLLM, the token that ended the answer is among them.
    expect(choices[0]!.logprobs!.content).toHaveLength(3)
    expect(choices[0]!.logprobs!.content[2]).toMatchObject({
      token: house.tokenizer.tokenText(EOS).text,
      logprob: fakeLogprobs(EOS, 2, 2).logprob,
    })
    expect(choices[0]!.logprobs!.content[0]).toEqual({
      token: name(50).text,
      bytes: name(50).bytes,
      logprob: expected.logprob,
      top_logprobs: expected.top.map(({ token, logprob }) => ({
        token: name(token).text,
        bytes: name(token).bytes,
        logprob,
      })),
    })
    const asIds = await house.post(PATH, { messages, logprobs: true, return_tokens_as_token_ids: true })
    const [first] = (await answerOf<ChatCompletion>(asIds)).choices[0]!.logprobs!.content
    expect(first).toMatchObject({ token: 'token_id:50', top_logprobs: [] })
  })

  it('gives prompt log probabilities in vLLM’s shape', async () => {
    const house = fakeHouse()
    const response = await house.post(PATH, { messages, prompt_logprobs: 1 })
    const { prompt_logprobs } = await answerOf<ChatCompletion>(response)
    const { prompt } = house.engine.lastRequest
    expect(prompt_logprobs).toHaveLength(prompt.length)
    expect(prompt_logprobs![0]).toBeNull()
    const { logprob, rank } = fakeLogprobs(prompt[1]!, 1, 1)
    expect(prompt_logprobs![1]![prompt[1]!]).toEqual({
      logprob,
      rank,
      decoded_token: house.tokenizer.tokenText(prompt[1]!).text,
    })
    expect(Object.keys(prompt_logprobs![1]!)).toHaveLength(2)
  })

  it('makes n choices', async () => {
    const house = fakeHouse()
    house.engine.script = ({ sampling }) => ({
      tokens: house.tokenizer.encode(`seed ${sampling.seed}`, { addSpecialTokens: false }),
    })
    const response = await house.post(PATH, { messages, n: 3, seed: 5 })
    const { choices } = await answerOf<ChatCompletion>(response)
    expect(choices.map((choice) => [choice.index, choice.message.content])).toEqual([
      [0, 'seed 5'],
      [1, 'seed 6'],
      [2, 'seed 7'],
    ])
  })

  it('truncates a long prompt only on request', async () => {
    const house = fakeHouse()
    const long = [{ role: 'user', content: 'word '.repeat(400) }]
    expect(await errorOf(await house.post(PATH, { messages: long }))).toMatchObject({
      status: 400,
      param: 'messages',
      message: expect.stringMatching(
        /^This model's maximum context length is 256 tokens\. However, you requested 1 output tokens and your prompt contains at least \d{3,} input tokens, for a total of at least \d+ tokens\. Please reduce the length of the input prompt or the number of requested output tokens\.$/,
      ),
    })
    expect((await house.post(PATH, { messages: long, truncate_prompt_tokens: 100 })).status).toBe(200)
    expect(house.engine.lastRequest.prompt).toHaveLength(100)
    const kept = house.engine.lastRequest.prompt
    expect((await house.post(PATH, { messages: long, truncate_prompt_tokens: -1, max_tokens: 56 })).status).toBe(200)
    expect(house.engine.lastRequest.prompt).toHaveLength(200)
    expect(house.engine.lastRequest.prompt.slice(-100)).toEqual(kept)
    const tooWide = await errorOf(
      await house.post(PATH, { messages: long, truncate_prompt_tokens: 201, max_tokens: 56 }),
    )
    expect(tooWide).toMatchObject({ status: 400, param: 'truncate_prompt_tokens' })
  })
})

describe('a streamed chat', () => {
  it('begins with the role, carries text, and ends with the reason and [DONE]', async () => {
    const house = fakeHouse()
    house.says('Ahoy, sailor!')
    const response = await house.post(PATH, { messages, stream: true, model: 'pirate' })
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const events = await eventsOf<ChatCompletionChunk>(response)
    expect(events[0]!.choices).toEqual([
      { index: 0, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null },
    ])
    expect(events.map((event) => event.choices[0]!.delta.content ?? '').join('')).toBe('Ahoy, sailor!')
    expect(events.at(-1)!.choices[0]).toEqual({
      index: 0,
      delta: {},
      logprobs: null,
      finish_reason: 'stop',
      stop_reason: null,
    })
    for (const event of events) {
      expect(event).toMatchObject({ id: events[0]!.id, object: 'chat.completion.chunk', model: 'pirate' })
      expect(event).not.toHaveProperty('usage')
    }
  })

  it('ends with the usage on request', async () => {
    const house = fakeHouse()
    house.says('Ahoy!')
    const body = { messages, stream: true, stream_options: { include_usage: true } }
    const whole = (await answerOf<ChatCompletion>(await house.post(PATH, { messages }))).usage
    const events = await eventsOf<ChatCompletionChunk>(await house.post(PATH, body))
    expect(events.at(-1)).toMatchObject({ choices: [], usage: whole })
    expect(events.slice(0, -1).every(({ usage }) => usage === null)).toBe(true)
    const counted = await eventsOf<ChatCompletionChunk>(
      await house.post(PATH, { ...body, stream_options: { include_usage: true, continuous_usage_stats: true } }),
    )
    const counts = counted.map(({ usage }) => usage!.completion_tokens)
    expect(counts[0]).toBe(0)
    expect(counts).toEqual([...counts].sort((a, b) => a - b))
    expect(counts.at(-1)).toBe(whole.completion_tokens)
  })

  it('never splits a character, and its pieces are the whole text', async () => {
    const house = fakeHouse()
    const text = '🦜 naïve 你好 👩‍👩‍👧 ok'
    house.says(text)
    const response = await house.post(PATH, { messages, stream: true })
    const bytes = response.body!.getReader()
    const strict = new TextDecoder('utf-8', { fatal: true })
    const pieces: string[] = []
    for (;;) {
      const { done, value } = await bytes.read()
      if (done) break
      const event = strict.decode(value).slice('data: '.length)
      if (event.startsWith('{')) pieces.push(JSON.parse(event).choices[0]!.delta.content ?? '')
    }
    expect(pieces.join('')).toBe(text)
    expect(pieces.filter((piece) => piece.includes('\ufffd'))).toEqual([])
    expect(pieces.filter((piece) => /\p{Surrogate}/u.test(piece))).toEqual([])
  })

  it('carries every token’s log probabilities and id exactly once', async () => {
    const house = fakeHouse()
    const text = 'a 🦜 STOPPED b'
    house.says(text)
    const ids = house.tokenizer.encode(text, { addSpecialTokens: false })
    const events = await eventsOf<ChatCompletionChunk>(
      await house.post(PATH, { messages, stream: true, logprobs: true, stop: 'STOP it', return_token_ids: true }),
    )
    const bytes = events.flatMap(({ choices }) =>
      (choices[0]!.logprobs?.content ?? []).flatMap((entry) => entry.bytes ?? []),
    )
    expect(Buffer.from(bytes).toString('utf8')).toBe(`${text}${house.tokenizer.tokenText(EOS).text}`)
    expect(events.flatMap(({ choices }) => choices[0]!.token_ids ?? [])).toEqual([...ids, EOS])
    expect(events[0]!.prompt_token_ids).toEqual(house.engine.lastRequest.prompt)
    // A piece and the log probabilities of its tokens come together: text never runs ahead of them.
    let shown = ''
    let covered = ''
    for (const { choices } of events) {
      shown += choices[0]!.delta.content ?? ''
      const own = (choices[0]!.logprobs?.content ?? []).flatMap((entry) => entry.bytes ?? [])
      covered += Buffer.from(own).toString('utf8')
      expect(covered.startsWith(shown)).toBe(true)
    }
  })

  it('interleaves choices, each complete and in order', async () => {
    const house = fakeHouse()
    house.engine.script = ({ sampling }) => ({
      tokens: house.tokenizer.encode(`I am number ${sampling.seed}.`, { addSpecialTokens: false }),
    })
    const events = await eventsOf<ChatCompletionChunk>(
      await house.post(PATH, { messages, stream: true, n: 4, seed: 0 }),
    )
    const texts = ['', '', '', '']
    for (const { choices } of events) texts[choices[0]!.index] += choices[0]!.delta.content ?? ''
    expect(texts).toEqual([0, 1, 2, 3].map((seed) => `I am number ${seed}.`))
    const order = events.map(({ choices }) => choices[0]!.index)
    // Nobody waits for somebody else's end.
    expect(order.indexOf(3)).toBeLessThan(order.lastIndexOf(0))
    expect(events.filter(({ choices }) => choices[0]!.finish_reason === 'stop')).toHaveLength(4)
  })

  it('reports an error after the first byte as an event', async () => {
    const house = fakeHouse()
    house.engine.script = () => ({ tokens: [50, 51, 52], failAt: { index: 1, error: new QueueFullError(3) } })
    const events = await eventsOf<ChatCompletionChunk>(
      await house.post(PATH, { messages, stream: true, model: 'pirate' }),
    )
    expect(events.at(-1)).toEqual({
      error: {
        message: '3 requests are waiting already. Try again in a moment.',
        type: 'RateLimitError',
        param: null,
        code: 429,
      },
    })
    expect(house.engine.running).toEqual([])
    expect(house.leases).toEqual([])
  })

  it('keeps what went wrong inside to itself', async () => {
    const house = fakeHouse()
    house.engine.script = () => ({ tokens: [], failAt: { index: 0, error: new Error('secret path') } })
    const [, last] = await eventsOf<ChatCompletionChunk>(await house.post(PATH, { messages, stream: true }))
    expect(last!.error).toMatchObject({ code: 500, type: 'InternalServerError' })
    expect(last!.error!.message).not.toContain('secret')
    expect(house.log.find(({ level }) => level === 'error')!.fields.detail).toContain('secret path')
  })
})

describe('bad chats', () => {
  it.each<[string, Record<string, unknown>, string | null, string]>([
    ['no messages', {}, 'messages', '`messages` is required.'],
    ['empty messages', { messages: [] }, 'messages', 'messages must hold at least one message.'],
    ['messages of a wrong type', { messages: 'hi' }, 'messages', '`messages` must be an array, got "hi".'],
    [
      'a role of a wrong type',
      { messages: [{ role: 5 }] },
      'messages[0].role',
      '`messages[0].role` must be a string, got 5.',
    ],
    ['no role', { messages: [{ content: 'a' }] }, 'messages[0].role', '`messages[0].role` is required.'],
    [
      'temperature of a wrong type',
      { messages, temperature: 'hot' },
      'temperature',
      '`temperature` must be a number, got "hot".',
    ],
    [
      'temperature out of range',
      { messages, temperature: -1 },
      'temperature',
      'temperature must be in [0, 2], got -1.',
    ],
    ['top_p out of range', { messages, top_p: 0 }, 'top_p', 'top_p must be in (0, 1], got 0.'],
    ['top_k out of range', { messages, top_k: -2 }, 'top_k', 'top_k must be 0 (disable), or at least 1, got -2.'],
    ['top_k not whole', { messages, top_k: 1.5 }, 'top_k', 'top_k must be an integer, got 1.5.'],
    ['min_p out of range', { messages, min_p: 2 }, 'min_p', 'min_p must be in [0, 1], got 2.'],
    [
      'presence_penalty out of range',
      { messages, presence_penalty: 2.5 },
      'presence_penalty',
      'presence_penalty must be in [-2, 2], got 2.5.',
    ],
    [
      'frequency_penalty out of range',
      { messages, frequency_penalty: -3 },
      'frequency_penalty',
      'frequency_penalty must be in [-2, 2], got -3.',
    ],
    [
      'repetition_penalty out of range',
      { messages, repetition_penalty: 0 },
      'repetition_penalty',
      'repetition_penalty must be greater than zero, got 0.',
    ],
    [
      'logit_bias of a wrong type',
      { messages, logit_bias: [1] },
      'logit_bias',
      '`logit_bias` must be an object, got an array.',
    ],
    [
      'a bias of no token',
      { messages, logit_bias: { the: 1 } },
      'logit_bias',
      'The keys of logit_bias must be token ids, got "the".',
    ],
    [
      'a bias of a wrong type',
      { messages, logit_bias: { 5: '1' } },
      'logit_bias',
      'The bias of token 5 in logit_bias must be a number, got "1".',
    ],
    [
      'a bias out of vocabulary',
      { messages, logit_bias: { 5: 1, 512: 1, 600: 0 } },
      'logit_bias',
      'token_id(s) [512, 600] in logit_bias contain out-of-vocab token ids. Vocabulary size: 512',
    ],
    [
      'too many biases',
      { messages, logit_bias: Object.fromEntries(Array.from({ length: 301 }, (_, id) => [id, 1])) },
      'logit_bias',
      'logit_bias must hold at most 300 entries, got 301.',
    ],
    [
      'no allowed ids',
      { messages, allowed_token_ids: [] },
      'allowed_token_ids',
      'allowed_token_ids must not be empty.',
    ],
    [
      'an allowed id out of vocabulary',
      { messages, allowed_token_ids: [3, 512] },
      'allowed_token_ids',
      'Token id 512 is out of vocabulary: the model has ids below 512.',
    ],
    ['n out of range', { messages, n: 0 }, 'n', 'n must be at least 1 and at most 128, got 0.'],
    ['max_tokens 0', { messages, max_tokens: 0 }, 'max_tokens', 'max_tokens must be at least 1, got 0.'],
    [
      'min_tokens above max_tokens',
      { messages, max_tokens: 2, min_tokens: 3 },
      'min_tokens',
      'min_tokens must be less than or equal to max_tokens=2, got 3.',
    ],
    ['an empty stop', { messages, stop: [''] }, 'stop[0]', 'stop cannot contain an empty string.'],
    ['stop of a wrong type', { messages, stop: 5 }, 'stop', '`stop` must be a string or an array of strings, got 5.'],
    ['too many stops', { messages, stop: Array(17).fill('a') }, 'stop', 'stop must hold at most 16 strings, got 17.'],
    [
      'a stop id out of vocabulary',
      { messages, stop_token_ids: [512] },
      'stop_token_ids',
      'Token id 512 is out of vocabulary: the model has ids below 512.',
    ],
    [
      'stream_options without stream',
      { messages, stream_options: {} },
      'stream_options',
      'Stream options can only be defined when `stream=True`.',
    ],
    [
      'top_logprobs without logprobs',
      { messages, top_logprobs: 2 },
      'top_logprobs',
      'when using `top_logprobs`, `logprobs` must be set to true.',
    ],
    [
      'too many top_logprobs',
      { messages, logprobs: true, top_logprobs: 21 },
      'top_logprobs',
      'Requested sample logprobs of 21, which is greater than max allowed: 20',
    ],
    [
      'too many prompt_logprobs',
      { messages, prompt_logprobs: 21 },
      'prompt_logprobs',
      'Requested prompt logprobs of 21, which is greater than max allowed: 20',
    ],
    [
      'prompt_logprobs in a stream',
      { messages, stream: true, prompt_logprobs: 1 },
      'prompt_logprobs',
      '`prompt_logprobs` are not available when `stream=True`.',
    ],
    [
      'template kwargs of a wrong type',
      { messages, chat_template_kwargs: [] },
      'chat_template_kwargs',
      '`chat_template_kwargs` must be an object, got an array.',
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

  it.each<[string, unknown, unknown]>([
    ['bad_words', ['ugh'], []],
    ['response_format', { type: 'json_object' }, { type: 'text' }],
    ['tools', [{ type: 'function' }], []],
    ['tool_choice', 'required', 'none'],
    ['use_beam_search', true, false],
    ['echo', true, false],
    ['reasoning_effort', 'low', null],
    ['modalities', ['audio'], ['text']],
    ['store', true, false],
  ])('%s is refused by name when it asks for something', async (field, asking, harmless) => {
    const house = fakeHouse()
    expect(await errorOf(await house.post(PATH, { messages, [field]: asking }))).toMatchObject({
      status: 400,
      param: field,
      message: expect.stringContaining(`\`${field}\` is not supported`),
    })
    for (const value of [harmless, null]) {
      const response = await house.post(PATH, { messages, [field]: value })
      expect(response.status).toBe(200)
      expect(response.headers.get('x-lorikeet-ignored')).toBeNull()
    }
  })

  it('names parts that are no text', async () => {
    const house = fakeHouse()
    const content = [
      { type: 'text', text: 'a' },
      { type: 'image_url', image_url: { url: 'x' } },
    ]
    expect(await errorOf(await house.post(PATH, { messages: [...messages, { role: 'user', content }] }))).toMatchObject(
      {
        status: 400,
        param: 'messages[1].content[1]',
        message: expect.stringContaining('image_url'),
      },
    )
  })

  it('need a template', async () => {
    const house = fakeHouse({ service: { template: null } })
    expect(await errorOf(await house.post(PATH, { messages }))).toMatchObject({
      status: 400,
      message: expect.stringContaining('/v1/completions'),
    })
  })
})
