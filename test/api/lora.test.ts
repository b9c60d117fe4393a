/** `lora` in requests and `/lora-adapters`, llama.cpp's shapes, over real adapters: what is taken, what is refused, what is held. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AdapterHouse, adapterHouse } from './support/adapterHouse.ts'
import { answerOf, errorOf } from './support/fakeService.ts'

const CHAT = '/v1/chat/completions'
const COMPLETIONS = '/v1/completions'
const SCALES = '/lora-adapters'
const messages = [{ role: 'user', content: 'Hello' }]

let house: AdapterHouse

async function open(...adapters: readonly (readonly [name: string, adapter: string])[]): Promise<void> {
  for (const [name, adapter] of adapters) await house.adapters.load(name, house.put(name, `llama-tiny/${adapter}`))
}
const chat = (body: Record<string, unknown>) => house.post(CHAT, { messages, ...body })
const leasesOf = () => Object.fromEntries(house.registry.status().map(({ name, leases }) => [name, leases]))
/** What the last generation ran on. */
const ranOn = () => house.engine.lastRequest.adapter?.name ?? null

beforeEach(async () => {
  house = await adapterHouse()
  await open(['pirate', 'r1'], ['tutor', 'r5'])
})
afterEach(async () => {
  expect(Object.values(leasesOf()).every((leases) => leases === 0)).toBe(true)
  await house.close()
})

describe('lora in a request', () => {
  it.each([CHAT, COMPLETIONS])('is a weighted composition on %s', async (path) => {
    const lora = [
      { name: 'pirate', scale: 0.5 },
      { id: 1, scale: -1 },
    ]
    const response = await house.post(path, { messages, prompt: 'Hello', lora })
    const { model } = await answerOf<{ model: string }>(response)
    expect(model).toBe('org/tiny')
    expect(ranOn()!.split('+').sort()).toEqual(['pirate:0.5', 'tutor:-1'])
    expect(house.engine.lastRequest.adapter!.digest).toMatch(/^[0-9a-f]{64}$/)
    expect(house.compositions.size).toBe(1)
    // It is nobody's model.
    const { data } = await answerOf<{ data: { id: string }[] }>(await house.get('/v1/models'))
    expect(data.map(({ id }) => id)).toEqual(['org/tiny', 'tiny', 'pirate', 'tutor'])
  })

  it('beside a name of the base is the same', async () => {
    expect((await chat({ model: 'tiny', lora: [{ name: 'pirate', scale: 2 }] })).status).toBe(200)
    expect(ranOn()).toBe('pirate:2')
  })

  it('is the adapter itself at scale 1, the base at 0 or when it is empty', async () => {
    for (const [lora, wanted] of [
      [[{ name: 'pirate', scale: 1 }], 'pirate'],
      [
        [
          { id: 0, name: null, scale: 1 },
          { name: 'tutor', scale: 0 },
        ],
        'pirate',
      ],
      [[{ name: 'pirate', scale: 0 }], null],
      [[], null],
      [null, null],
    ]) {
      expect((await chat({ lora })).status).toBe(200)
      expect(ranOn()).toBe(wanted)
    }
    expect(house.compositions.size).toBe(0)
  })

  it('leases what it names while it runs, and an unload waits for it', async () => {
    let go = (): void => {}
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    house.engine.gate = () => gate
    house.says('and on')
    const lora = [
      { name: 'pirate', scale: 0.5 },
      { name: 'tutor', scale: 0.5 },
    ]
    const running = chat({ lora, n: 2 })
    while (house.engine.running.length < 2) await new Promise((resolve) => setImmediate(resolve))
    expect(leasesOf()).toEqual({ pirate: 2, tutor: 2 })
    const unloading = house.post('/v1/unload_lora_adapter', { lora_name: 'pirate' })
    while (house.registry.find('pirate')) await new Promise((resolve) => setImmediate(resolve))
    expect(await errorOf(await chat({ lora }))).toMatchObject({
      status: 404,
      type: 'NotFoundError',
      param: 'lora[0].name',
      message: 'The model `pirate` does not exist.',
    })
    for (const { request } of house.engine.generations) expect(request.adapter!.name).toMatch('pirate:0.5')
    go()
    expect((await running).status).toBe(200)
    const unloaded = await unloading
    expect([unloaded.status, unloaded.headers.get('x-lorikeet-waited-for')]).toEqual([200, '2'])
    expect([house.compositions.size, house.registry.numVersions]).toEqual([0, 1])
  })

  it.each<[string, unknown, string, string]>([
    ['something else', 'pirate', 'lora', '`lora` must be an array, got "pirate".'],
    ['entries that are none', ['pirate'], 'lora[0]', '`lora[0]` must be an object, got "pirate".'],
    ['no scale', [{ name: 'pirate' }], 'lora[0].scale', '`lora[0].scale` is required.'],
    [
      'a scale that is text',
      [{ name: 'pirate', scale: '1' }],
      'lora[0].scale',
      '`lora[0].scale` must be a number, got "1".',
    ],
    ['a scale beyond', [{ id: 0, scale: 1001 }], 'lora[0].scale', 'scale must be in [-1000, 1000], got 1001.'],
    ['an id that is no number', [{ id: 'x', scale: 1 }], 'lora[0].id', '`lora[0].id` must be a number, got "x".'],
    ['an id that is no integer', [{ id: 0.5, scale: 1 }], 'lora[0].id', 'An id must be an integer, got 0.5.'],
    ['neither id nor name', [{ scale: 1 }], 'lora[0]', 'An adapter needs an id or a name.'],
    ['an empty name', [{ name: '', scale: 1 }], 'lora[0]', 'An adapter needs an id or a name.'],
    ['both', [{ id: 0, name: 'pirate', scale: 1 }], 'lora[0]', 'An adapter is named by id or by name, not by both.'],
    [
      'the same twice',
      [
        { id: 0, scale: 0.5 },
        { name: 'pirate', scale: 0.5 },
      ],
      'lora[1]',
      'The adapter `pirate` is named twice.',
    ],
    [
      'too many',
      Array.from({ length: 65 }, () => ({ id: 0, scale: 1 })),
      'lora',
      'lora must hold at most 64 adapters, got 65.',
    ],
    [
      'fields nobody knows',
      [{ name: 'pirate', scale: 1, weight: 2 }],
      'lora[0].weight',
      '`lora[0].weight` must be one of id, name and scale, got "weight".',
    ],
  ])('refuses %s', async (_, lora, param, message) => {
    const error = await errorOf(await chat({ lora }))
    expect(error).toMatchObject({ status: 400, type: 'BadRequestError', param, message })
  })

  it('refuses what is not there', async () => {
    expect(await errorOf(await chat({ lora: [{ id: 7, scale: 1 }] }))).toMatchObject({
      status: 404,
      param: 'lora[0].id',
      message: 'No adapter has the id 7. GET /lora-adapters lists them.',
    })
    const lora = [
      { name: 'pirate', scale: 1 },
      { name: 'nobody', scale: 0 },
    ]
    expect(await errorOf(await chat({ lora }))).toMatchObject({ status: 404, param: 'lora[1].name' })
  })

  it('refuses an adapter as the model beside it', async () => {
    for (const model of ['tutor', 'tiny:tutor']) {
      const error = await errorOf(await chat({ model, lora: [{ name: 'pirate', scale: 1 }] }))
      expect(error).toMatchObject({ status: 400, param: 'lora' })
      expect(error.message).toMatch('`model` names the adapter `tutor`')
    }
    expect((await chat({ model: 'tutor', lora: [] })).status).toBe(200)
    expect(ranOn()).toBe('tutor')
  })

  it('refuses kinds that have no sum by name, kind and reason, unless they are alone', async () => {
    await open(['dora', 'dora-r8'], ['norms', 'save-norms-embed'], ['invoked', 'alora'], ['rows', 'trainable-tokens'])
    const refusal = async (lora: unknown) => await errorOf(await chat({ lora }))
    const about = { status: 400, type: 'BadRequestError', param: 'lora', reason: 'adapter_unsupported' }
    for (const [name, kind] of [
      ['dora', 'DoRA'],
      ['invoked', 'an invocation'],
      ['norms', 'norms of its own'],
      ['rows', 'rows of the embedding or the output layer of its own'],
    ] as const) {
      const beside = await refusal([
        { name: 'pirate', scale: 1 },
        { name, scale: 1 },
      ])
      expect(beside).toMatchObject(about)
      expect(beside.message).toMatch(`The lora adapter '${name}' has ${kind}, which`)
      expect((await chat({ lora: [{ name, scale: 1 }] })).status).toBe(200)
      expect(ranOn()).toBe(name)
    }
    for (const name of ['norms', 'rows']) expect(await refusal([{ name, scale: 0.5 }])).toMatchObject(about)
    for (const name of ['dora', 'invoked']) expect((await chat({ lora: [{ name, scale: 0.5 }] })).status).toBe(200)
  })

  it('refuses more rank than there may be, with the figure', async () => {
    await open(['large', 'mlp-r32'], ['larger', 'all-linear-r8'])
    const lora = [
      { name: 'large', scale: 1 },
      { name: 'larger', scale: 1 },
    ]
    const error = await errorOf(await chat({ lora }))
    expect(error).toMatchObject({ status: 400, param: 'lora', reason: 'adapter_rank_too_large' })
    expect(error.message).toMatch(/^LoRA rank 40, of '.*', '.*' together, is greater than max_lora_rank 32\.$/)
  })

  it('starts all choices or none', async () => {
    house.engine.refuse = (index) => (index === 1 ? new Error('no more') : null)
    expect((await chat({ n: 2, lora: [{ name: 'pirate', scale: 0.5 }] })).status).toBe(500)
  })
})

describe('/lora-adapters', () => {
  const scales = async () => await answerOf<{ id: number; name: string; scale: number }[]>(await house.get(SCALES))

  it('lists adapters by numbers that stay, in the order in which they were loaded', async () => {
    expect(await scales()).toEqual([
      { id: 0, name: 'pirate', path: house.folder('pirate'), scale: 0 },
      { id: 1, name: 'tutor', path: house.folder('tutor'), scale: 0 },
    ])
    await house.adapters.load('pirate', house.put('other', 'llama-tiny/r5'), { replace: true })
    await house.adapters.unload('tutor')
    await open(['third', 'r5'])
    await open(['tutor', 'r5'])
    expect((await scales()).map(({ id, name }) => [id, name])).toEqual([
      [0, 'pirate'],
      [2, 'third'],
      [3, 'tutor'],
    ])
  })

  it('sets what requests get that name no adapter; what is not listed is 0', async () => {
    await chat({})
    expect(ranOn()).toBeNull()
    const both = [
      { id: 0, scale: 0.5 },
      { name: 'tutor', scale: 0.25 },
    ]
    expect(await answerOf(await house.post(SCALES, both))).toEqual({ success: true })
    expect((await scales()).map(({ scale }) => scale)).toEqual([0.5, 0.25])
    for (const model of [undefined, 'tiny']) {
      await chat({ model })
      expect(ranOn()!.split('+').sort()).toEqual(['pirate:0.5', 'tutor:0.25'])
    }
    // Who says what they want gets that.
    await chat({ model: 'tutor' })
    expect(ranOn()).toBe('tutor')
    await chat({ lora: [] })
    expect(ranOn()).toBeNull()
    await chat({ lora: [{ id: 1, scale: 1 }] })
    expect(ranOn()).toBe('tutor')
    // One that goes takes its scale along, and does not bring it back.
    await house.adapters.unload('tutor')
    await chat({})
    expect(ranOn()).toBe('pirate:0.5')
    await open(['tutor', 'r5'])
    expect((await scales()).map(({ scale }) => scale)).toEqual([0.5, 0])
    await house.post(SCALES, [])
    await chat({})
    expect(ranOn()).toBeNull()
  })

  it('takes any one adapter at 1, and refuses what a request would be refused, changing nothing', async () => {
    await open(['dora', 'dora-r8'], ['norms', 'save-norms-embed'])
    expect((await house.post(SCALES, [{ name: 'norms', scale: 1 }])).status).toBe(200)
    await chat({})
    expect(ranOn()).toBe('norms')
    const refused: readonly (readonly [unknown, number, string | null])[] = [
      [{ id: 0, scale: 1 }, 400, null],
      [[{ id: 9, scale: 1 }], 404, '[0].id'],
      [[{ id: 0 }], 400, '[0].scale'],
      [[{ name: 'norms', scale: 0.5 }], 400, 'lora'],
      [
        [
          { name: 'dora', scale: 1 },
          { name: 'pirate', scale: 1 },
        ],
        400,
        'lora',
      ],
    ]
    for (const [body, status, param] of refused) {
      expect(await errorOf(await house.post(SCALES, body))).toMatchObject({ status, param })
    }
    expect((await house.post(SCALES, '[{')).status).toBe(400)
    await chat({})
    expect(ranOn()).toBe('norms')
  })

  it('may be changed only where adapters may, and from pages of this machine', async () => {
    const body = [{ id: 0, scale: 1 }]
    expect(
      await errorOf(await house.post(SCALES, body, { headers: { origin: 'https://evil.example' } })),
    ).toMatchObject({
      status: 403,
      type: 'PermissionDeniedError',
    })
    const plain = { 'content-type': 'text/plain', origin: 'http://localhost:1' }
    expect((await house.post(SCALES, body, { headers: plain })).status).toBe(400)
    expect((await house.post(SCALES, body, { headers: { origin: 'http://localhost:1' } })).status).toBe(200)
    expect((await house.handler(new Request(`http://lorikeet${SCALES}`, { method: 'PUT' }))).status).toBe(405)
    const closed = await adapterHouse({ isClosed: true })
    expect(await errorOf(await closed.post(SCALES, []))).toMatchObject({ status: 404 })
    expect(await answerOf(await closed.get(SCALES))).toEqual([])
    await closed.close()
  })
})
