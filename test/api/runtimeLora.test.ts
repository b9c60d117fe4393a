/** vLLM's and SGLang's endpoints for adapters: their bodies, statuses and words, over real files. */
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import OpenAI from 'openai'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AdapterHouse, adapterHouse } from './support/adapterHouse.ts'
import { errorOf } from './support/fakeService.ts'

const LOAD = '/v1/load_lora_adapter'
const UNLOAD = '/v1/unload_lora_adapter'
const CHAT = '/v1/chat/completions'

let house: AdapterHouse

beforeEach(async () => {
  house = await adapterHouse()
})
afterEach(() => house.close())

const ids = (): string[] => house.registry.list().map(({ name }) => name)
const chat = (model: string) => house.post(CHAT, { model, messages: [{ role: 'user', content: 'Hello' }] })
/** Holds the next generation until it is let go. */
function hold(): () => void {
  let go = (): void => {}
  const gate = new Promise<void>((resolve) => {
    go = resolve
  })
  house.says('and on and on')
  house.engine.gate = () => gate
  return go
}
const turns = async (count = 5) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('loading as vLLM has it', () => {
  it('answers a plain text, and the adapter can be asked for', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    const response = await house.post(LOAD, { lora_name: 'pirate', lora_path })
    expect([response.status, await response.text()]).toEqual([
      200,
      "Success: LoRA adapter 'pirate' added successfully.",
    ])
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/)
    expect((await chat('pirate')).status).toBe(200)
    const { data } = (await (await house.get('/v1/models')).json()) as { data: { id: string; root: string }[] }
    expect(data.at(-1)).toMatchObject({ id: 'pirate', root: lora_path, parent: 'org/tiny' })
  })

  it('takes what clients of vLLM send besides', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    const body = { lora_name: 'pirate', lora_path, load_inplace: false, is_3d_lora_weight: false }
    expect((await house.post(LOAD, body)).headers.has('x-lorikeet-ignored')).toBe(false)
    expect((await house.post(UNLOAD, { lora_name: 'pirate', lora_int_id: 7 })).status).toBe(200)
  })

  it.each<[string, Record<string, unknown>, number, string, string | null, string]>([
    ['no name', { lora_path: 'x' }, 400, 'InvalidUserInput', 'lora_name', bothNeeded()],
    ['an empty name', { lora_name: '', lora_path: 'x' }, 400, 'InvalidUserInput', 'lora_name', bothNeeded()],
    ['no path', { lora_name: 'x' }, 400, 'InvalidUserInput', 'lora_path', bothNeeded()],
    ['nothing', {}, 400, 'InvalidUserInput', 'lora_name', bothNeeded()],
    [
      'a name that is no text',
      { lora_name: 5, lora_path: 'x' },
      400,
      'BadRequestError',
      'lora_name',
      '`lora_name` must be a string, got 5.',
    ],
    [
      'experts',
      { lora_name: 'x', lora_path: 'x', is_3d_lora_weight: true },
      400,
      'BadRequestError',
      'is_3d_lora_weight',
      '`is_3d_lora_weight` is not supported: lorikeet serves no mixtures of experts.',
    ],
  ])('refuses %s', async (_, body, status, type, param, message) => {
    expect(await errorOf(await house.post(LOAD, body))).toMatchObject({ status, code: status, type, param, message })
  })

  it.each(['a:b', '.hidden', 'x y', '../up', 'x'.repeat(129), 'ü'])('refuses the name %j', async (lora_name) => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    const error = await errorOf(await house.post(LOAD, { lora_name, lora_path }))
    expect(error).toMatchObject({ status: 400, param: 'lora_name' })
    expect(ids()).toEqual([])
  })

  it('refuses the name of the base', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    for (const load_inplace of [false, true]) {
      expect(await errorOf(await house.post(LOAD, { lora_name: 'tiny', lora_path, load_inplace }))).toMatchObject({
        status: 409,
        type: 'ConflictError',
        message: '"tiny" is the name of the base model.',
      })
    }
  })

  it('refuses a name that is taken, in vLLM’s words, and replaces it where that is asked for', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    await house.post(LOAD, { lora_name: 'pirate', lora_path })
    const before = house.registry.find('pirate')!
    const other = house.put('other', 'llama-tiny/r5')
    expect(await errorOf(await house.post(LOAD, { lora_name: 'pirate', lora_path: other }))).toEqual({
      status: 400,
      type: 'InvalidUserInput',
      code: 400,
      param: 'lora_name',
      message:
        "The lora adapter 'pirate' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.",
    })
    expect(house.registry.find('pirate')).toBe(before)
    const response = await house.post(LOAD, { lora_name: 'pirate', lora_path: other, load_inplace: true })
    expect(await response.text()).toBe("Success: LoRA adapter 'pirate' added successfully.")
    expect(house.registry.find('pirate')!.digest).not.toBe(before.digest)
    // In place also where there is nothing yet.
    expect((await house.post(LOAD, { lora_name: 'new', lora_path, load_inplace: true })).status).toBe(200)
  })

  it('does not find what is not there', async () => {
    const lora_path = house.folder('nobody')
    mkdirSync(house.folder('empty'))
    for (const path of [lora_path, house.folder('empty')]) {
      expect(await errorOf(await house.post(LOAD, { lora_name: 'x', lora_path: path }))).toEqual({
        status: 404,
        type: 'NotFoundError',
        code: 404,
        param: 'lora_path',
        message: `Loading lora x failed: No adapter found for ${path}`,
      })
    }
  })

  it('refuses a rank above the maximum in vLLM’s words, as the client’s fault', async () => {
    const lora_path = house.put('big', 'llama-tiny/all-linear-r64')
    expect(await errorOf(await house.post(LOAD, { lora_name: 'big', lora_path }))).toMatchObject({
      status: 400,
      type: 'BadRequestError',
      param: 'r',
      message: 'LoRA rank 64 is greater than max_lora_rank 32.',
      reason: 'adapter_rank_too_large',
    })
  })

  it.each([
    'nan',
    'truncated',
    'config-not-json',
    'no-weights',
    'pissa',
    'other-base',
    'pickle-call',
    'target-regex-broken',
  ])('refuses %s by name, and nothing is left of it', async (adapter) => {
    const lora_path = house.put('bad', `refused/${adapter}`)
    const error = await errorOf(await house.post(LOAD, { lora_name: 'bad', lora_path }))
    expect([error.status, error.type]).toEqual([400, 'BadRequestError'])
    expect(error.param).toBeTruthy()
    expect([ids(), house.registry.status()]).toEqual([[], []])
    // The same is there as soon as it is in order.
    rmSync(lora_path, { recursive: true })
    house.put('bad', 'llama-tiny/r1')
    expect((await house.post(LOAD, { lora_name: 'bad', lora_path })).status).toBe(200)
  })

  it('loads for a changed base where the client says that it is the one being served, and says so in the log', async () => {
    const lora_path = house.put('pissa', 'refused/pissa')
    const refused = await errorOf(await house.post(LOAD, { lora_name: 'pissa', lora_path }))
    expect(refused).toMatchObject({ status: 400, param: 'init_lora_weights', reason: 'adapter_changed_base' })
    const body = { lora_name: 'pissa', lora_path, accept: [refused.reason] }
    const report = await (await house.post('/v1/lora_adapters/check', body)).json()
    expect(report.notes).toEqual([expect.stringContaining('taken as it is, since the base is said to be')])
    expect((await house.post(LOAD, body)).status).toBe(200)
    // What a file alone decides, nobody can know better.
    const broken = { lora_name: 'nan', lora_path: house.put('nan', 'refused/nan') }
    expect(await errorOf(await house.post(LOAD, { ...broken, accept: ['adapter_not_finite'] }))).toMatchObject({
      status: 400,
      param: 'accept[0]',
      message: '`accept[0]` must be one of adapter_changed_base, got "adapter_not_finite".',
    })
    expect((await errorOf(await house.post(LOAD, { ...broken, accept: body.accept }))).reason).toBe(
      'adapter_not_finite',
    )
  })

  it('reads nothing outside of the roots, whatever the path looks like', async () => {
    const inside = house.put('pirate', 'llama-tiny/r1')
    const outside = join(house.folder('.'), '../outside')
    mkdirSync(outside)
    symlinkSync(outside, house.folder('escape'))
    for (const lora_path of [
      outside,
      `${inside}/../../outside`,
      house.folder('escape'),
      '/etc',
      '~',
      'https://a.example/',
    ]) {
      const error = await errorOf(await house.post(LOAD, { lora_name: 'x', lora_path }))
      expect(error).toMatchObject({ status: 400, param: 'lora_path' })
      expect(error.message).toContain('outside of the folders that adapters may be loaded from')
      expect(await errorOf(await house.post('/v1/lora_adapters/check', { lora_path }))).toEqual(error)
    }
    expect(ids()).toEqual([])
  })

  it('is not there unless it is allowed, and neither are its kin', async () => {
    const closed = await adapterHouse({ isClosed: true })
    const lora_path = closed.put('pirate', 'llama-tiny/r1')
    for (const path of [LOAD, UNLOAD, '/load_lora_adapter', '/unload_lora_adapter', '/v1/lora_adapters/check']) {
      const error = await errorOf(await closed.post(path, { lora_name: 'pirate', lora_path }))
      expect(error).toMatchObject({ status: 404, type: 'NotFoundError' })
      expect(error.message).toContain('--allow-runtime-lora')
    }
    expect((await closed.get('/v1/lora_adapters')).status).toBe(200)
    await closed.close()
  })

  it('asks for a key like every other route, and lets no page of another origin in unasked', async () => {
    const locked = await adapterHouse({ apiKeys: ['k'] })
    const lora_path = locked.put('pirate', 'llama-tiny/r1')
    for (const path of [LOAD, UNLOAD, '/load_lora_adapter', '/unload_lora_adapter', '/v1/lora_adapters/check']) {
      expect((await locked.post(path, { lora_name: 'pirate', lora_path })).status).toBe(401)
      const headers = { 'content-type': 'text/plain', origin: 'http://localhost:8000' }
      expect((await house.post(path, { lora_name: 'pirate', lora_path }, { headers })).status).toBe(400)
    }
    expect((await locked.get('/v1/lora_adapters')).status).toBe(401)
    await locked.close()
  })
})

describe('a page', () => {
  const from = async (house: AdapterHouse, origin: string): Promise<number> => {
    const lora_path = house.folder('pirate')
    const body = { lora_name: 'pirate', lora_path, load_inplace: true }
    return (await house.post(LOAD, body, { headers: { origin } })).status
  }

  it('of this machine may change adapters, a stranger’s may not, whatever name led it here', async () => {
    house.put('pirate', 'llama-tiny/r1')
    for (const origin of [
      'http://localhost:8000',
      'http://127.0.0.1:8000',
      'http://[::1]:8000',
      'http://a.localhost',
    ]) {
      expect(await from(house, origin)).toBe(200)
    }
    for (const origin of ['https://evil.example', 'http://localhost.evil.example', 'http://127.0.0.1.evil', 'null']) {
      expect(await from(house, origin)).toBe(403)
    }
    // Asking what there is stays a matter of CORS.
    expect((await house.get('/v1/lora_adapters', { headers: { origin: 'https://evil.example' } })).status).toBe(200)
  })

  it('of an origin that the owner named may', async () => {
    const open = await adapterHouse({ corsOrigins: ['https://voices.example'] })
    open.put('pirate', 'llama-tiny/r1')
    expect(await from(open, 'https://voices.example')).toBe(200)
    expect(await from(open, 'https://evil.example')).toBe(403)
    await open.close()
  })
})

describe('unloading as vLLM has it', () => {
  it('answers a plain text', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    await house.post(LOAD, { lora_name: 'pirate', lora_path })
    const response = await house.post(UNLOAD, { lora_name: 'pirate' })
    expect([response.status, await response.text(), response.headers.get('x-lorikeet-waited-for')]).toEqual([
      200,
      "Success: LoRA adapter 'pirate' removed successfully.",
      null,
    ])
    expect((await chat('pirate')).status).toBe(404)
  })

  it.each<[Record<string, unknown>, number, string, string]>([
    [{}, 400, 'InvalidUserInput', "'lora_name' needs to be provided to unload a LoRA adapter."],
    [{ lora_name: '' }, 400, 'InvalidUserInput', "'lora_name' needs to be provided to unload a LoRA adapter."],
    [{ lora_name: 'nobody' }, 404, 'NotFoundError', "The lora adapter 'nobody' cannot be found."],
    [{ lora_name: 'tiny' }, 404, 'NotFoundError', "The lora adapter 'tiny' cannot be found."],
  ])('refuses %j', async (body, status, type, message) => {
    expect(await errorOf(await house.post(UNLOAD, body))).toMatchObject({ status, type, message, param: 'lora_name' })
  })

  it('turns new requests away at once, waits for the running ones, and says so', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    await house.post(LOAD, { lora_name: 'pirate', lora_path })
    const go = hold()
    const running = [chat('pirate'), chat('pirate')]
    await turns()
    let hasAnswered = false
    const unloading = house.post(UNLOAD, { lora_name: 'pirate' }).finally(() => {
      hasAnswered = true
    })
    await turns()
    expect([ids(), hasAnswered, (await chat('pirate')).status]).toEqual([[], false, 404])
    const { data } = (await (await house.get('/v1/lora_adapters')).json()) as { data: object[] }
    expect(data).toMatchObject([{ id: 'pirate', state: 'leaving', leases: 2 }])
    expect(house.log.filter(({ level }) => level === 'info').at(-1)).toMatchObject({
      message: 'adapter pirate takes no more requests and is unloaded when the running ones have ended',
      fields: { running: 2 },
    })
    go()
    for (const response of running) expect((await response).status).toBe(200)
    const response = await unloading
    expect([response.status, response.headers.get('x-lorikeet-waited-for')]).toEqual([200, '2'])
    expect(house.registry.status()).toEqual([])
  })

  it('the name may be given again while it waits', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    await house.post(LOAD, { lora_name: 'pirate', lora_path })
    const go = hold()
    const running = chat('pirate')
    await turns()
    const unloading = house.post(UNLOAD, { lora_name: 'pirate' })
    await turns()
    expect((await house.post(LOAD, { lora_name: 'pirate', lora_path })).status).toBe(200)
    go()
    await Promise.all([running, unloading])
    expect(ids()).toEqual(['pirate'])
  })
})

describe('SGLang’s endpoints', () => {
  const load = (body: unknown) => house.post('/load_lora_adapter', body)
  const unload = (body: unknown) => house.post('/unload_lora_adapter', body)

  it('answer in JSON what is loaded', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    const first = await load({ lora_name: 'pirate', lora_path, lora_id: null })
    expect([first.status, await first.json()]).toEqual([
      200,
      { success: true, error_message: '', loaded_adapters: { pirate: lora_path } },
    ])
    const other = house.put('tutor', 'llama-tiny/r5')
    expect(await (await load({ lora_name: 'tutor', lora_path: other })).json()).toMatchObject({
      loaded_adapters: { pirate: lora_path, tutor: other },
    })
    const gone = await unload({ lora_name: 'pirate' })
    expect([gone.status, await gone.json()]).toEqual([
      200,
      { success: true, error_message: '', loaded_adapters: { tutor: other } },
    ])
  })

  it('answer a 400 in the same shape for whatever is the client’s fault', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    await load({ lora_name: 'pirate', lora_path })
    const loaded_adapters = { pirate: lora_path }
    const cases: [Promise<Response>, string][] = [
      [
        load({ lora_name: 'pirate', lora_path }),
        "LoRA with name pirate already exists. Loaded LoRAs: dict_keys(['pirate'])",
      ],
      [unload({ lora_name: 'tutor' }), "LoRA with name tutor does not exist. Loaded LoRAs: dict_keys(['pirate'])"],
      [
        load({ lora_name: 'tutor', lora_path: house.folder('none') }),
        `Loading lora tutor failed: No adapter found for ${house.folder('none')}`,
      ],
      [load({ lora_name: 'tutor' }), "Both 'lora_name' and 'lora_path' must be provided."],
      [load({ lora_name: 'tiny', lora_path }), '"tiny" is the name of the base model.'],
    ]
    for (const [answer, error_message] of cases) {
      const response = await answer
      expect([response.status, await response.json()]).toEqual([
        400,
        { success: false, error_message, loaded_adapters },
      ])
    }
  })

  it('pin what is to stay on the GPU, and leave a place for the rest', async () => {
    const paths = ['r1', 'r5', 'attn-r16', 'qv-r8'].map((name) => house.put(name, `llama-tiny/${name}`))
    for (const [i, lora_path] of paths.slice(0, 3).entries()) {
      expect((await load({ lora_name: `voice-${i}`, lora_path, pinned: true })).status).toBe(200)
    }
    await turns()
    expect(house.registry.status().map(({ pinned, tier }) => [pinned, tier])).toEqual([
      [true, 'gpu'],
      [true, 'gpu'],
      [true, 'gpu'],
    ])
    const refused = await load({ lora_name: 'voice-3', lora_path: paths[3]!, pinned: true })
    expect([refused.status, (await refused.json()).error_message]).toEqual([
      400,
      expect.stringMatching(/^'voice-3' cannot be pinned: of the 4 adapters/),
    ])
    // The same bytes under another name take no place of their own.
    expect((await load({ lora_name: 'again', lora_path: paths[0]!, pinned: true })).status).toBe(200)
    expect((await load({ lora_name: 'voice-3', lora_path: paths[3]! })).status).toBe(200)
  })

  it('wait for running requests as SGLang does', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    await load({ lora_name: 'pirate', lora_path })
    const go = hold()
    const running = chat('pirate')
    await turns()
    const unloading = unload({ lora_name: 'pirate' })
    await turns()
    expect(ids()).toEqual([])
    go()
    await running
    expect((await unloading).headers.get('x-lorikeet-waited-for')).toBe('1')
  })
})

describe('/v1/lora_adapters', () => {
  it('tells of each where it is and what has become of it', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/attn-r16')
    await house.post(LOAD, { lora_name: 'pirate', lora_path })
    const status = async () =>
      ((await (await house.get('/v1/lora_adapters')).json()) as { data: Record<string, unknown>[] }).data
    expect(await status()).toEqual([
      {
        id: 'pirate',
        object: 'lora_adapter',
        root: lora_path,
        digest: house.registry.find('pirate')!.digest,
        created: expect.any(Number),
        origin: 'request',
        state: 'loaded',
        tier: 'host',
        pinned: false,
        rank: 16,
        modules: expect.any(Number),
        kinds: ['lora'],
        bytes: 86016,
        host_bytes: 86032,
        leases: 0,
        requests: 0,
        prompt_tokens: 0,
        generated_tokens: 0,
        hits: 0,
        misses: 0,
        evictions: 0,
        loads: 0,
        last_load: null,
        last_load_ms: null,
        uploaded_bytes: 0,
        upload_ms: 0,
        drops: 0,
        reads: 0,
        read_bytes: 0,
        read_ms: 0,
        read_failures: 0,
        last_used: null,
      },
    ])
    await chat('pirate')
    await chat('pirate')
    expect(await status()).toMatchObject([
      {
        ...{ tier: 'gpu', leases: 0, requests: 2, hits: 1, misses: 1, loads: 1, last_load: expect.any(Number) },
        ...{ uploaded_bytes: 86016, reads: 0 },
      },
    ])
  })

  it('tells what an adapter would be and cost without loading it', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    const other = house.put('other', 'llama-tiny/r5')
    const check = async (body: object) => await (await house.post('/v1/lora_adapters/check', body)).json()
    const report = await check({ lora_path })
    expect(report).toMatchObject({
      object: 'lora_adapter.check',
      ok: true,
      format: 'peft',
      rank: 1,
      notes: [],
      loaded_as: [],
      would_evict: [],
      would_wait: false,
    })
    expect(report.modules[0]).toMatchObject({
      path: 'model.layers.0.self_attn.q_proj',
      rank: 1,
      dtype: 'F32',
      with: [],
    })
    expect(report.bytes.gpu).toBeGreaterThanOrEqual(report.bytes.host)
    expect([ids(), house.registry.status()]).toEqual([[], []])
    await house.post(LOAD, { lora_name: 'pirate', lora_path })
    expect(await check({ lora_path })).toMatchObject({ digest: report.digest, loaded_as: ['pirate'] })
    expect(await check({ lora_path: other, lora_name: 'new' })).toMatchObject({ ok: true, rank: 5, loaded_as: [] })
  })

  it('tells what would have to leave the GPU for it', async () => {
    const small = await adapterHouse({ slots: 1 })
    const lora_path = small.put('one', 'llama-tiny/r1')
    await small.post(LOAD, { lora_name: 'one', lora_path })
    await small.post(LOAD, { lora_name: 'same', lora_path })
    const other = small.put('other', 'llama-tiny/r5')
    const check = async (path: string) =>
      await (await small.post('/v1/lora_adapters/check', { lora_path: path })).json()
    const lease = small.registry.lease('one')!
    await lease.ready
    expect(await check(other)).toMatchObject({ would_evict: [], would_wait: true })
    expect(await check(lora_path)).toMatchObject({ would_evict: [], would_wait: false })
    lease.release()
    expect(await check(other)).toMatchObject({ would_evict: ['one', 'same'], would_wait: false })
    await small.close()
  })

  it('refuses in a check what it would refuse to load, in the same words', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    await house.post(LOAD, { lora_name: 'pirate', lora_path })
    const bodies = [
      { lora_name: 'pirate', lora_path },
      { lora_name: 'tiny', lora_path },
      { lora_name: 'a:b', lora_path },
      { lora_name: 'x', lora_path: house.folder('none') },
      ...['nan', 'truncated', 'pissa', 'unknown-module'].map((name) => ({
        lora_name: 'x',
        lora_path: house.put(name, `refused/${name}`),
      })),
    ]
    for (const body of bodies) {
      const refusal = await errorOf(await house.post('/v1/lora_adapters/check', body))
      expect(refusal.status).toBeGreaterThanOrEqual(400)
      expect(await errorOf(await house.post(LOAD, body))).toEqual(refusal)
    }
    expect((await errorOf(await house.post('/v1/lora_adapters/check', {}))).param).toBe('lora_path')
  })
})

describe('a client that goes away', () => {
  it('while its adapter is read leaves nothing behind', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    const gone = new AbortController()
    gone.abort()
    const response = await house.post(LOAD, { lora_name: 'pirate', lora_path }, { signal: gone.signal })
    expect([response.status, ids()]).toEqual([499, []])
  })
})

describe('whatever comes', () => {
  it('is answered with a status of the client’s, and changes no name that it does not name', async () => {
    house.put('pirate', 'llama-tiny/r1')
    house.put('nan', 'refused/nan')
    const field = fc.oneof(
      fc.constantFrom(
        'pirate',
        'nan',
        'tiny',
        '',
        '.',
        '..',
        '/',
        'a:b',
        '__proto__',
        '\0',
        '~',
        house.folder('pirate'),
      ),
      fc.constantFrom(house.folder('nan'), house.folder('none'), `${house.folder('pirate')}/adapter_config.json`),
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.jsonValue({ maxDepth: 2 }),
    )
    const fields = ['lora_name', 'lora_path', 'load_inplace', 'pinned', 'accept', 'lora_int_id', 'is_3d_lora_weight']
    const body = fc.dictionary(fc.constantFrom(...fields), field)
    const path = fc.constantFrom(LOAD, UNLOAD, '/load_lora_adapter', '/unload_lora_adapter', '/v1/lora_adapters/check')
    await fc.assert(
      fc.asyncProperty(path, body, async (path, body) => {
        const before = ids()
        const response = await house.post(path, body)
        expect([200, 400, 404, 409]).toContain(response.status)
        const changed = [...ids(), ...before].filter((id) => ids().includes(id) !== before.includes(id))
        expect(changed.every((id) => id === body.lora_name)).toBe(true)
      }),
      { seed: 5, numRuns: 400 },
    )
  })
})

describe('many at once', () => {
  it('two hundred loads and unloads leave exactly what the last of each name left', async () => {
    const paths = ['r1', 'r5', 'attn-r16', 'qv-r8'].map((name) => house.put(name, `llama-tiny/${name}`))
    const last = new Map<string, string | null>()
    const statuses = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const lora_name = `voice-${(i * 7) % 20}`
        if (i % 3 === 2) {
          last.set(lora_name, null)
          return (await house.post(UNLOAD, { lora_name })).status
        }
        const lora_path = paths[i % 4]!
        last.set(lora_name, lora_path)
        return (await house.post(LOAD, { lora_name, lora_path, load_inplace: true })).status
      }),
    )
    expect(statuses.every((status) => status === 200 || status === 404)).toBe(true)
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(120)
    const wanted = [...last].flatMap(([name, path]) => (path === null ? [] : [`${name} ${path}`]))
    expect(
      house.registry
        .list()
        .map(({ name, root }) => `${name} ${root}`)
        .sort(),
    ).toEqual(wanted.sort())
    const client = new OpenAI({
      fetch: (url, init) => house.handler(new Request(url, init)),
      baseURL: 'http://x/v1',
      apiKey: 'none',
    })
    const models = await client.models.list()
    expect(
      models.data
        .slice(2)
        .map(({ id }) => id)
        .sort(),
    ).toEqual(ids().sort())
  })

  it('of two hundred that want one name, one gets it', async () => {
    const lora_path = house.put('pirate', 'llama-tiny/r1')
    const statuses = await Promise.all(
      Array.from({ length: 200 }, async () => (await house.post(LOAD, { lora_name: 'pirate', lora_path })).status),
    )
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
    expect(statuses.filter((status) => status === 400)).toHaveLength(199)
  })
})

function bothNeeded(): string {
  return "Both 'lora_name' and 'lora_path' must be provided."
}
