/** The client of the load benchmark against a scripted server: what it counts, when, and what it calls a failure. */
import { describe, expect, it } from 'vitest'
import { ask, type ClientOptions, type Fetch } from '../../src/bench/load/client.ts'
import { openServer, type ServerPlan } from '../../src/bench/load/server.ts'

const REQUEST = { model: 'm', prompt: [1, 2], promptTokens: 2, maxTokens: 3 }
const DONE = 'data: [DONE]\n\n'

const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`
const piece = (text: string, finish_reason: string | null = null) =>
  event({ choices: [{ index: 0, text, finish_reason }] })

/** A server that sends these pieces of a body, each as a read of its own. */
function streaming(...pieces: readonly string[]): Fetch {
  return async () => {
    const left = [...pieces]
    return new Response(
      new ReadableStream({
        pull(controller) {
          const next = left.shift()
          if (next === undefined) controller.close()
          else controller.enqueue(new TextEncoder().encode(next))
        },
      }),
    )
  }
}

const options = (fetch: Fetch, changes: Partial<ClientOptions> = {}): ClientOptions => ({
  fetch,
  baseUrl: 'http://x/v1',
  endpoint: 'completions',
  apiKey: null,
  extra: {},
  timeoutMs: 60_000,
  ...changes,
})

describe('a request', () => {
  it('is sent with the usual fields and those that are asked for, with a key', async () => {
    const sent: { url: string; init: RequestInit }[] = []
    const fetch: Fetch = (url, init) => {
      sent.push({ url, init })
      return streaming(piece('a'), DONE)(url, init)
    }
    await ask(REQUEST, options(fetch, { apiKey: 'k', extra: { ignore_eos: true } }))
    await ask({ ...REQUEST, prompt: 'hi' }, options(fetch, { endpoint: 'chat/completions' }))
    expect(sent.map(({ url }) => url)).toEqual(['http://x/v1/completions', 'http://x/v1/chat/completions'])
    expect(sent[0]!.init.headers).toMatchObject({ authorization: 'Bearer k' })
    const bodies = sent.map(({ init }) => JSON.parse(init.body as string))
    const common = { model: 'm', max_tokens: 3, temperature: 0, stream: true, stream_options: { include_usage: true } }
    expect(bodies[0]).toEqual({ ...common, prompt: [1, 2], ignore_eos: true })
    expect(bodies[1]).toEqual({ ...common, messages: [{ role: 'user', content: 'hi' }] })
  })

  it('counts the pieces that are tokens, and takes its totals from the usage', async () => {
    const result = await ask(
      REQUEST,
      options(
        streaming(
          piece('a') + piece('b'),
          piece(''),
          piece('', 'length'),
          event({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 3 } }),
          DONE,
        ),
      ),
    )
    expect(result).toMatchObject({ error: null, promptTokens: 7, outputTokens: 3 })
    expect(result.gapsMs).toHaveLength(2)
  })

  it('knows a chat by its deltas: the role that opens it is no token', async () => {
    const delta = (value: object, finish_reason: string | null = null) =>
      event({ choices: [{ delta: value, finish_reason }] })
    const result = await ask(
      REQUEST,
      options(
        streaming(
          delta({ role: 'assistant', content: '' }),
          delta({ reasoning_content: 'hm' }),
          delta({ content: 'a' }),
          delta({}, 'stop'),
          DONE,
        ),
        { endpoint: 'chat/completions' },
      ),
    )
    expect(result).toMatchObject({ error: null, outputTokens: 2, promptTokens: 2 })
  })

  it('gives each token of a piece its share of the time', async () => {
    const tokens = (...ids: number[]) => event({ choices: [{ text: 'x', token_ids: ids, finish_reason: null }] })
    const named = await ask(REQUEST, options(streaming(tokens(1), tokens(2, 3, 4), DONE)))
    expect(named.outputTokens).toBe(4)
    expect(named.gapsMs).toHaveLength(3)
    expect(new Set(named.gapsMs).size).toBe(1)
    // Two pieces were seen of four tokens: two tokens each.
    const usage = event({ choices: [], usage: { completion_tokens: 4 } })
    const counted = await ask(REQUEST, options(streaming(piece('a'), piece('b'), usage, DONE)))
    expect(counted.gapsMs).toHaveLength(2)
  })

  it('reads events however they are cut, with any ends of lines and with comments', async () => {
    const whole = `: hello\r\nevent: x\r\n${piece('a').replaceAll('\n', '\r\n')}${piece('ü')}data:${JSON.stringify({ choices: [{ text: 'c' }] })}\r\r${DONE}`
    const bytes = new TextEncoder().encode(whole)
    const fetch: Fetch = async () => {
      let at = 0
      return new Response(
        new ReadableStream({
          pull(controller) {
            if (at >= bytes.length) controller.close()
            else controller.enqueue(bytes.slice(at, ++at))
          },
        }),
      )
    }
    expect(await ask(REQUEST, options(fetch))).toMatchObject({ error: null, outputTokens: 3 })
  })

  it('takes its times from when pieces come, not from when they are all there', async () => {
    let send = (_text: string): void => {}
    let end = (): void => {}
    const fetch: Fetch = async () =>
      new Response(
        new ReadableStream({
          start(controller) {
            send = (text) => controller.enqueue(new TextEncoder().encode(text))
            end = () => controller.close()
          },
        }),
      )
    const now = performance.now.bind(performance)
    let clock = 1000
    performance.now = () => clock
    try {
      const asking = ask(REQUEST, options(fetch))
      const turn = () => new Promise((resolve) => setImmediate(resolve))
      await turn()
      clock = 1250
      send(piece('a'))
      await turn()
      clock = 1300
      send(piece('b'))
      await turn()
      clock = 1400
      send(piece('c', 'length') + DONE)
      await turn()
      clock = 1410
      end()
      const result = await asking
      expect(result).toMatchObject({ startedAt: 1000, firstAt: 1250, endedAt: 1410, gapsMs: [50, 100], error: null })
    } finally {
      performance.now = now
    }
  })

  it.each<[string, Fetch, string]>([
    [
      'a refusal',
      async () => Response.json({ error: { message: 'no such model' } }, { status: 404 }),
      '404 no such model',
    ],
    ['a refusal in words', async () => new Response('Bad Gateway', { status: 502 }), '502 Bad Gateway'],
    ['a stream that fails', streaming(piece('a'), event({ error: { message: 'gone' } })), 'The stream failed: gone'],
    ['a stream that breaks off', streaming(piece('a'), piece('b').slice(0, 9)), 'The stream broke off'],
    ['a stream without a token', streaming(piece('', 'stop'), DONE), 'No token came'],
    [
      'a server that is not there',
      () => Promise.reject(new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })),
      'fetch failed: connect ECONNREFUSED',
    ],
  ])('says why it failed: %s', async (_what, fetch, message) => {
    expect((await ask(REQUEST, options(fetch))).error).toBe(message)
  })

  it('fails when it takes too long', async () => {
    const never: Fetch = (_url, { signal }) =>
      new Promise((_resolve, reject) => signal!.addEventListener('abort', () => reject(signal!.reason)))
    expect((await ask(REQUEST, options(never, { timeoutMs: 5 }))).error).toMatch(/timeout/i)
  })
})

describe('a server', () => {
  const serving =
    (cards: unknown): Fetch =>
    async (url) => {
      if (url.endsWith('/v1/models')) return Response.json({ data: cards })
      return url.endsWith('/version') ? Response.json({ version: '0.11' }) : new Response('', { status: 404 })
    }
  const plan = (fetch: Fetch, changes: Partial<ServerPlan> = {}): ServerPlan => ({
    url: 'http://x/v1/',
    fetch,
    endpoint: 'completions',
    apiKey: null,
    model: null,
    adapters: null,
    maxAdapters: 8,
    scenarios: null,
    ignoreEos: false,
    timeoutMs: 1000,
    longest: 9,
    ...changes,
  })
  const CARDS = [
    { id: 'base', parent: null, owned_by: 'vllm' },
    { id: 'pirate', parent: 'base' },
    { id: 'tutor', parent: 'base' },
  ]

  it('is asked for its base and its adapters', async () => {
    const subject = await openServer(plan(serving(CARDS)))
    expect(subject.scenarios.map(({ name, models }) => [name, models])).toEqual([
      ['base', ['base']],
      ['single', ['pirate']],
      ['adapters', ['pirate', 'tutor']],
    ])
    expect(subject.facts).toMatchObject({ model: 'base', 'owned by': 'vllm', 'server version': '0.11' })
  })

  it('without adapters is measured with its base; what else was asked for is left out aloud', async () => {
    const subject = await openServer(plan(serving([{ id: 'llama' }]), { scenarios: ['base', 'mixed-ranks', 'single'] }))
    expect(subject.scenarios.map(({ name }) => name)).toEqual(['base'])
    expect(subject.notes.filter((note) => note.includes('left out'))).toHaveLength(2)
  })

  it('may be told both names', async () => {
    const subject = await openServer(
      plan(serving(CARDS), { model: 'other', adapters: ['x', 'y', 'z'], maxAdapters: 2 }),
    )
    expect(subject.scenarios.at(-1)).toMatchObject({ name: 'adapters', models: ['x', 'y'] })
    expect(subject.scenarios[0]!.models).toEqual(['other'])
  })

  it.each<[string, Fetch, RegExp]>([
    [
      'nothing answers',
      () => Promise.reject(new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') })),
      /does not answer: fetch failed: ECONNREFUSED/,
    ],
    ['it wants a key', async () => new Response('', { status: 401 }), /answers 401/],
    ['it is something else', async () => new Response('<html>'), /no list of models/],
    ['it serves nothing', serving([]), /serves no model/],
  ])('is refused where %s', async (_why, fetch, message) => {
    await expect(openServer(plan(fetch))).rejects.toThrow(message)
  })
})
