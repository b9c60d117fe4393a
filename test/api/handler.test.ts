/** What every route shares: names of models, keys, CORS, bodies, request ids, errors, health. */
import { describe, expect, it } from 'vitest'
import type { ChatCompletion } from '../../src/api/responses.ts'
import { answerOf, errorOf, fakeHouse } from './support/fakeService.ts'

const CHAT = '/v1/chat/completions'
const chat = { messages: [{ role: 'user', content: 'Hello' }] }

describe('the model field', () => {
  it.each<[string | undefined | null, string, string | null]>([
    [undefined, 'org/tiny', null],
    [null, 'org/tiny', null],
    ['', 'org/tiny', null],
    ['org/tiny', 'org/tiny', null],
    ['tiny', 'tiny', null],
    ['pirate', 'pirate', 'pirate'],
    ['team/tutor', 'team/tutor', 'team/tutor'],
    ['tiny:pirate', 'tiny:pirate', 'pirate'],
    ['org/tiny:team/tutor', 'org/tiny:team/tutor', 'team/tutor'],
  ])('%s means %s with adapter %s', async (model, name, adapter) => {
    const house = fakeHouse()
    const answer = await answerOf<ChatCompletion>(await house.post(CHAT, { ...chat, model }))
    expect(answer.model).toBe(name)
    expect(house.engine.lastRequest.adapter?.name ?? null).toBe(adapter)
    expect(house.leases).toEqual([])
  })

  it.each(['nobody', 'Pirate', 'tiny:', 'tiny:nobody', 'other:pirate', ':pirate', 'pirate:tiny', 'tiny:tiny'])(
    '%s is nobody, and nobody answers in its place',
    async (model) => {
      const house = fakeHouse()
      for (const [path, body] of [
        [CHAT, chat],
        ['/v1/completions', { prompt: 'a' }],
        ['/tokenize', { prompt: 'a' }],
      ] as const) {
        expect(await errorOf(await house.post(path, { ...body, model }))).toEqual({
          status: 404,
          type: 'NotFoundError',
          code: 404,
          param: 'model',
          message: `The model \`${model}\` does not exist.`,
        })
      }
      expect(house.engine.generations).toEqual([])
    },
  )

  it('of an adapter that goes away meanwhile is a 404 too', async () => {
    const house = fakeHouse()
    const gone = fakeHouse({ service: { adapters: { ...house.service.adapters, lease: () => null } } })
    expect(await errorOf(await gone.post(CHAT, { ...chat, model: 'pirate' }))).toMatchObject({
      status: 404,
      param: 'model',
    })
  })
})

describe('/v1/models', () => {
  it('lists the base under its names, and every adapter', async () => {
    const house = fakeHouse()
    const { object, data } = await answerOf<{ object: string; data: Record<string, unknown>[] }>(
      await house.get('/v1/models'),
    )
    expect(object).toBe('list')
    expect(
      data.map(({ id, root, parent, max_model_len, created }) => ({ id, root, parent, max_model_len, created })),
    ).toEqual([
      { id: 'org/tiny', root: 'models/tiny', parent: null, max_model_len: 256, created: 1_700_000_000 },
      { id: 'tiny', root: 'models/tiny', parent: null, max_model_len: 256, created: 1_700_000_000 },
      { id: 'pirate', root: 'adapters/pirate', parent: 'org/tiny', max_model_len: null, created: 1_700_000_100 },
      {
        id: 'team/tutor',
        root: 'adapters/team/tutor',
        parent: 'org/tiny',
        max_model_len: null,
        created: 1_700_000_100,
      },
    ])
  })

  it.each(['org/tiny', 'org%2Ftiny', 'team/tutor', 'team%2Ftutor'])('finds %s, slash and all', async (id) => {
    const house = fakeHouse()
    const card = await answerOf<{ id: string }>(await house.get(`/v1/models/${id}`))
    expect(card.id).toBe(decodeURIComponent(id))
  })

  it('does not find what is not there', async () => {
    const house = fakeHouse()
    expect(await errorOf(await house.get('/v1/models/no/body'))).toMatchObject({
      status: 404,
      message: 'The model `no/body` does not exist.',
    })
  })
})

describe('keys', () => {
  const open = ['/health', '/ping', '/version', '/v1/health/live', '/v1/health/ready']

  it('open every route, health checks need none', async () => {
    const house = fakeHouse({ apiKeys: ['one', 'two'] })
    for (const key of ['one', 'two']) {
      const response = await house.get('/v1/models', { headers: { authorization: `Bearer ${key}` } })
      expect(response.status).toBe(200)
    }
    for (const path of open) expect((await house.get(path)).status).toBe(200)
  })

  it.each([undefined, 'Bearer', 'Bearer three', 'Bearer on', 'Bearer onee', 'Basic one', 'one', 'Bearer ONE'])(
    'refuse %s',
    async (authorization) => {
      const house = fakeHouse({ apiKeys: ['one', 'two'] })
      const headers = authorization === undefined ? {} : { authorization }
      for (const response of [
        await house.get('/v1/models', { headers }),
        await house.post(CHAT, chat, { headers }),
        await house.post('/tokenize', { prompt: 'a' }, { headers }),
        await house.get('/nowhere', { headers }),
      ]) {
        expect(response.headers.get('www-authenticate')).toBe('Bearer')
        expect(await errorOf(response)).toMatchObject({ status: 401, type: 'AuthenticationError', code: 401 })
      }
    },
  )
})

describe('CORS', () => {
  const preflight = {
    method: 'OPTIONS',
    headers: { origin: 'https://a.example', 'access-control-request-method': 'POST' },
  }

  it('is off by default', async () => {
    const house = fakeHouse()
    const response = await house.get('/v1/models', { headers: { origin: 'https://a.example' } })
    expect(response.headers.get('access-control-allow-origin')).toBeNull()
  })

  it('lets the named origins in, without a key for the preflight', async () => {
    const house = fakeHouse({ corsOrigins: ['https://a.example'], apiKeys: ['k'] })
    const response = await house.get(CHAT, preflight)
    expect(response.status).toBe(204)
    expect(response.headers.get('access-control-allow-origin')).toBe('https://a.example')
    const other = await house.get(CHAT, {
      ...preflight,
      headers: { ...preflight.headers, origin: 'https://b.example' },
    })
    expect(other.headers.get('access-control-allow-origin')).toBeNull()
    // Errors are readable too: without the header a page sees nothing but "failed to fetch".
    const refused = await house.get('/v1/models', { headers: { origin: 'https://a.example' } })
    expect(refused.status).toBe(401)
    expect(refused.headers.get('access-control-allow-origin')).toBe('https://a.example')
  })

  it('lets everybody in with *', async () => {
    const house = fakeHouse({ corsOrigins: ['*'] })
    expect((await house.get(CHAT, preflight)).headers.get('access-control-allow-origin')).toBe('*')
  })

  it('says which headers may be sent and read, and that caches have to mind the origin', async () => {
    const named = fakeHouse({ corsOrigins: ['https://a.example'] })
    const wanted = { ...preflight.headers, 'access-control-request-headers': 'authorization,content-type' }
    const { headers } = await named.get(CHAT, { ...preflight, headers: wanted })
    expect(headers.get('access-control-allow-methods')).toBe('GET, HEAD, POST')
    expect(headers.get('access-control-allow-headers')).toBe('authorization,content-type')
    expect(headers.get('access-control-max-age')).toBe('3600')
    expect(headers.get('vary')).toBe('Origin, Access-Control-Request-Headers')
    const answer = await named.post(CHAT, chat, {
      headers: { origin: 'https://a.example', 'content-type': 'application/json' },
    })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('access-control-expose-headers')).toContain('x-request-id')
    expect(answer.headers.get('vary')).toBe('Origin')
    const everybody = await fakeHouse({ corsOrigins: ['*'] }).get('/v1/models')
    expect(everybody.headers.get('vary')).toBeNull()
  })
})

describe('bodies', () => {
  it.each<[string, string]>([
    [
      '',
      'The request body is not valid JSON at line 1, column 1 (offset 0): expected a value, found the end of the text.',
    ],
    [
      '{"messages": [}',
      'The request body is not valid JSON at line 1, column 15 (offset 14): expected a value, found "}".',
    ],
    [
      '{\n  "a": 1,\n}',
      'The request body is not valid JSON at line 3, column 1 (offset 12): expected a name in double quotes, found "}".',
    ],
  ])('%j is no JSON', async (body, message) => {
    const house = fakeHouse()
    for (const path of [CHAT, '/v1/completions', '/tokenize', '/detokenize']) {
      expect(await errorOf(await house.post(path, body))).toMatchObject({ status: 400, message })
    }
  })

  it.each(['[]', 'null', '"text"', '5'])('%s is no object', async (body) => {
    const house = fakeHouse()
    expect(await errorOf(await house.post(CHAT, body))).toMatchObject({
      status: 400,
      message: 'The request body must be a JSON object.',
    })
  })

  it('must be UTF-8', async () => {
    const house = fakeHouse()
    const response = await house.post(CHAT, '', { body: new Uint8Array([0x22, 0xff, 0x22]) })
    expect(await errorOf(response)).toMatchObject({ status: 400, message: 'The request body is not valid UTF-8.' })
  })

  it('have a limit, whatever they say their length is', async () => {
    const house = fakeHouse({ maxBodyBytes: 1000 })
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'x'.repeat(1000) }] })
    expect(await errorOf(await house.post(CHAT, body))).toMatchObject({ status: 413, type: 'RequestTooLargeError' })
    const honest = await house.post(CHAT, body, { headers: { 'content-length': String(body.length) } })
    expect(await errorOf(honest)).toMatchObject({ status: 413, message: 'The request body is larger than 1000 bytes.' })
    // Without a length, and with no end in sight.
    let numChunks = 0
    const endless = new ReadableStream({
      pull(controller) {
        numChunks++
        controller.enqueue(new Uint8Array(100))
      },
    })
    const streamed = await house.post(CHAT, '', { body: endless, duplex: 'half' } as RequestInit)
    expect(streamed.status).toBe(413)
    expect(numChunks).toBeLessThan(20)
  })

  it('need no content type, unless a page of another origin sends them', async () => {
    const house = fakeHouse()
    const headers = { 'content-type': 'text/plain' }
    expect((await house.post(CHAT, chat, { headers })).status).toBe(200)
    const foreign = { ...headers, origin: 'https://evil.example' }
    expect(await errorOf(await house.post(CHAT, chat, { headers: foreign }))).toMatchObject({
      status: 400,
      message: 'Send the body with `content-type: application/json`.',
    })
  })
})

describe('fields nobody knows', () => {
  it('are named in a header and one line of the log', async () => {
    const house = fakeHouse()
    const response = await house.post(CHAT, { ...chat, temprature: 1, 'naïve\n': 2, __proto__x: 3 })
    expect(response.status).toBe(200)
    expect(response.headers.get('x-lorikeet-ignored')).toBe('temprature, na%C3%AFve%0A, __proto__x')
    const warnings = house.log.filter(({ level }) => level === 'warn')
    expect(warnings).toHaveLength(1)
    expect(warnings[0]!.fields.fields).toEqual(['temprature', 'naïve\n', '__proto__x'])
  })

  it('are named on streams too', async () => {
    const house = fakeHouse()
    const response = await house.post(CHAT, { ...chat, stream: true, temprature: 1 })
    expect(response.headers.get('x-lorikeet-ignored')).toBe('temprature')
    await response.text()
  })

  it('are refused when the server is strict', async () => {
    const house = fakeHouse({ strict: true })
    expect(await errorOf(await house.post(CHAT, { ...chat, temprature: 1, topp: 2 }))).toEqual({
      status: 400,
      type: 'BadRequestError',
      code: 400,
      param: 'temprature',
      message: 'Unknown fields `temprature`, `topp`. Check the spelling or leave it out.',
    })
    expect((await house.post(CHAT, { ...chat, user: 'me', presence_penalty: 0 })).status).toBe(200)
  })
})

describe('every answer', () => {
  it('carries the request id of the client, or a new one', async () => {
    const house = fakeHouse()
    const own = { headers: { 'x-request-id': 'abc-123' } }
    expect((await house.get('/v1/models', own)).headers.get('x-request-id')).toBe('abc-123')
    expect((await house.get('/nowhere', own)).headers.get('x-request-id')).toBe('abc-123')
    expect((await house.post(CHAT, '{', own)).headers.get('x-request-id')).toBe('abc-123')
    const answer = await answerOf<ChatCompletion>(await house.post(CHAT, chat, own))
    expect(answer.id).toBe('chatcmpl-abc-123')
    for (const bad of ['x'.repeat(129), 'a b', 'é']) {
      const made = (await house.get('/v1/models', { headers: { 'x-request-id': bad } })).headers.get('x-request-id')
      expect(made).toMatch(/^[0-9a-f]{32}$/)
    }
  })

  it('has the envelope, also where there is no route or no such method', async () => {
    const house = fakeHouse()
    expect(await errorOf(await house.get('/v1/nothing'))).toEqual({
      status: 404,
      type: 'NotFoundError',
      code: 404,
      param: null,
      message: 'There is no GET /v1/nothing here.',
    })
    const get = await house.get(CHAT)
    expect(get.headers.get('allow')).toBe('POST')
    expect(await errorOf(get)).toMatchObject({ status: 405, type: 'MethodNotAllowedError' })
    const post = await house.post('/v1/models', {})
    expect(post.headers.get('allow')).toBe('GET, HEAD')
    expect(post.status).toBe(405)
    expect((await house.get('/v1/models', { method: 'HEAD' })).status).toBe(200)
  })
})

describe('health', () => {
  it('follows the engine', async () => {
    const house = fakeHouse()
    for (const path of ['/health', '/ping', '/v1/health/ready', '/v1/health/live']) {
      expect((await house.get(path)).status).toBe(200)
    }
    house.engine.state = 'failed'
    for (const path of ['/health', '/ping', '/v1/health/ready']) {
      const response = await house.get(path)
      expect(response.headers.get('retry-after')).toBe('1')
      expect(await errorOf(response)).toMatchObject({
        status: 503,
        message: 'The engine is failed. Restart the server.',
      })
    }
    expect((await house.get('/v1/health/live')).status).toBe(200)
    expect(await answerOf(await house.get('/version'))).toEqual({ version: '0.0.0-test' })
  })
})

describe('tokenize and detokenize', () => {
  it('are each other’s inverse', async () => {
    const house = fakeHouse()
    const text = 'Hello 🦜 world'
    const tokens = house.tokenizer.encode(text)
    const body = { prompt: text, return_token_strs: true }
    expect(await answerOf(await house.post('/tokenize', body))).toEqual({
      count: tokens.length,
      max_model_len: 256,
      tokens,
      token_strs: tokens.map((token) => house.tokenizer.tokenText(token).text),
    })
    const bare = await answerOf<{ tokens: number[] }>(
      await house.post('/tokenize', { prompt: text, add_special_tokens: false }),
    )
    expect(await answerOf(await house.post('/detokenize', { tokens: bare.tokens }))).toEqual({ prompt: text })
  })

  it('count a conversation as a chat would', async () => {
    const house = fakeHouse()
    const { tokens } = await answerOf<{ tokens: number[] }>(await house.post('/tokenize', chat))
    await house.post(CHAT, chat)
    expect(tokens).toEqual(house.engine.lastRequest.prompt)
  })

  it('refuse what makes no sense', async () => {
    const house = fakeHouse()
    expect(await errorOf(await house.post('/tokenize', {}))).toMatchObject({ status: 400, param: 'prompt' })
    expect(await errorOf(await house.post('/tokenize', { ...chat, prompt: 'a' }))).toMatchObject({ status: 400 })
    expect(await errorOf(await house.post('/detokenize', { tokens: [512] }))).toMatchObject({
      status: 400,
      param: 'tokens',
    })
    expect(await errorOf(await house.post('/detokenize', { tokens: ['a'] }))).toMatchObject({
      status: 400,
      param: 'tokens[0]',
    })
  })
})
