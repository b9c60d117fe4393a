/**
 * Adapters that come, change and go under a running server: a real model on the device, a real directory, a real port.
 * What every stream says is held against what its adapter says alone, so that weights that mix, or cached blocks of
 * other weights, would show as other tokens.
 */
import { cpSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serve } from '../../src/hosts/node/serve.ts'
import type { RunningServer } from '../../src/hosts/server.ts'
import { Lorikeet } from '../../src/lorikeet.ts'
import { reference } from '../fixtures.ts'
import { TestClock, until } from '../support/testClock.ts'

const MIB = 1024 * 1024
const NUM_TOKENS = 96
/** Longer than several blocks, so that the prefix cache has something to offer. */
const PROMPT = Array.from({ length: 70 }, (_, i) => 20 + ((i * 37) % 400))

const INTERVAL = 10_000
const clock = new TestClock()
const lines: string[] = []
let root = ''
let bird: Lorikeet
let server: RunningServer
/** What each reference adapter, and the base, says alone. */
const alone = new Map<string, readonly number[]>()

beforeAll(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'lorikeet-lifecycle-')))
  mkdirSync(join(root, 'watched'))
  mkdirSync(join(root, 'loaded'))
  bird = await Lorikeet.open({
    model: reference('models/llama-tiny'),
    sizes: { kvCacheMemory: 8 * MIB, loraMemory: 4 * MIB, maxNumBatchedTokens: 128, maxModelLen: 256 },
    loraDirectory: { path: join(root, 'watched'), refreshSeconds: INTERVAL / 1000, clock },
    runtimeLora: { roots: [root] },
    log: (level, message) => lines.push(`${level}: ${message}`),
  })
  server = await serve((request) => bird.fetch(request), { port: 0 })
  for (const name of ['attn-r16', 'all-linear-r8', 'mlp-r32']) {
    put('loaded', name, name)
    await load(name, name)
    alone.set(name, await say(name))
    await post('/v1/unload_lora_adapter', { lora_name: name })
  }
  alone.set('base', await say('llama-tiny'))
  // Otherwise the tests below could not tell them apart.
  expect(new Set([...alone.values()].map(String)).size).toBe(4)
})

afterAll(async () => {
  await server?.close({ graceMs: 0 })
  await bird?.close()
  rmSync(root, { recursive: true, force: true })
})

const post = (path: string, body: unknown): Promise<Response> =>
  fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

/** Puts a reference adapter in its place in one stroke. */
function put(place: 'watched' | 'loaded', name: string, adapter: string): void {
  const fresh = join(root, `fresh-${name}`)
  cpSync(reference(`adapters/llama-tiny/${adapter}`), fresh, { recursive: true })
  rmSync(join(root, place, name), { recursive: true, force: true })
  renameSync(fresh, join(root, place, name))
}

async function load(name: string, adapter: string, load_inplace = false): Promise<Response> {
  const response = await post('/v1/load_lora_adapter', {
    lora_name: name,
    lora_path: join(root, 'loaded', adapter),
    load_inplace,
  })
  expect([response.status, await response.text()]).toEqual([200, `Success: LoRA adapter '${name}' added successfully.`])
  return response
}

const completion = (model: string) => ({
  ...{ model, prompt: PROMPT, max_tokens: NUM_TOKENS, temperature: 0, ignore_eos: true, return_token_ids: true },
})

async function say(model: string): Promise<readonly number[]> {
  const response = await post('/v1/completions', completion(model))
  if (!response.ok) throw new Error(await response.text())
  return (await response.json()).choices[0].token_ids
}

/** A stream that has begun: `tokens` has all of it. */
async function begin(model: string): Promise<{ readonly tokens: Promise<readonly number[]> }> {
  const response = await post('/v1/completions', { ...completion(model), stream: true })
  if (!response.ok) throw new Error(await response.text())
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = (await reader.read()).value ?? ''
  const rest = async (): Promise<readonly number[]> => {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) text += piece.value
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
    const events = text.split('\n\n').filter((event) => event.startsWith('data: {'))
    return events.flatMap((event) => JSON.parse(event.slice('data: '.length)).choices[0].token_ids ?? [])
  }
  return { tokens: rest() }
}

async function served(): Promise<readonly string[]> {
  const { data } = (await (await fetch(`${server.url}/v1/models`)).json()) as { data: { id: string }[] }
  return data.slice(1).map(({ id }) => id)
}

async function statuses(): Promise<readonly { id: string; state: string; leases: number }[]> {
  return (await (await fetch(`${server.url}/v1/lora_adapters`)).json()).data
}

describe('a folder in the watched directory', () => {
  it('is served within an interval, speaks as the adapter does, changes and goes within one', async () => {
    put('watched', 'voice', 'attn-r16')
    expect(await served()).toEqual([])
    await clock.pass(INTERVAL)
    expect(await served()).toEqual(['voice'])
    expect(await say('voice')).toEqual(alone.get('attn-r16'))
    put('watched', 'voice', 'mlp-r32')
    await clock.pass(INTERVAL)
    expect(await served()).toEqual(['voice'])
    expect(await say('voice')).toEqual(alone.get('mlp-r32'))
    rmSync(join(root, 'watched/voice'), { recursive: true })
    await clock.pass(INTERVAL)
    expect(await served()).toEqual([])
    expect((await post('/v1/completions', completion('voice'))).status).toBe(404)
  })

  it('comes back at the next look when a request unloaded it', async () => {
    put('watched', 'voice', 'attn-r16')
    await clock.pass(INTERVAL)
    expect((await post('/v1/unload_lora_adapter', { lora_name: 'voice' })).status).toBe(200)
    expect(await served()).toEqual([])
    await clock.pass(INTERVAL / 2)
    expect(await served()).toEqual(['voice'])
    expect(await say('voice')).toEqual(alone.get('attn-r16'))
  })

  it('may be deleted while streams run on it: they end as if nothing had happened', async () => {
    const streams = await Promise.all([begin('voice'), begin('voice')])
    rmSync(join(root, 'watched/voice'), { recursive: true })
    await clock.pass(INTERVAL / 2)
    expect(await served()).toEqual([])
    for (const { tokens } of streams) expect(await tokens).toEqual(alone.get('attn-r16'))
    await until(() => bird.adapters.status().length === 0)
  })

  it('that is refused, half there or a way out is not served, and the rest is', async () => {
    lines.length = 0
    put('watched', 'good', 'attn-r16')
    cpSync(reference('refused/nan'), join(root, 'watched/nan'), { recursive: true })
    mkdirSync(join(root, 'watched/half'))
    cpSync(
      reference('adapters/llama-tiny/attn-r16/adapter_config.json'),
      join(root, 'watched/half/adapter_config.json'),
    )
    await clock.pass(3 * INTERVAL)
    expect(await served()).toEqual(['good'])
    const warnings = lines.filter((line) => line.startsWith('warn'))
    expect(warnings).toHaveLength(2)
    expect(warnings.sort()[0]).toMatch(/skipped half in .*doesn't contain tensors/)
    expect(warnings[1]).toMatch(/skipped nan in .*NaN or infinite/)
    for (const name of ['good', 'nan', 'half']) rmSync(join(root, 'watched', name), { recursive: true })
    await clock.pass(INTERVAL / 2)
    expect(await served()).toEqual([])
  })
})

describe('under load', () => {
  it('a replaced adapter: old streams end on the old weights, new ones run on the new', async () => {
    await load('voice', 'attn-r16')
    // The blocks of the old weights are in the prefix cache, under the same name and the same prompt.
    expect(await say('voice')).toEqual(alone.get('attn-r16'))
    // One more that holds the old weights, for as long as the test wants: streams may be quicker than the client is.
    const held = bird.runtime.adapters.lease('voice')
    const old = await Promise.all([begin('voice'), begin('voice'), begin('llama-tiny')])
    await load('voice', 'all-linear-r8', true)
    const young = await Promise.all([begin('voice'), begin('voice'), begin('llama-tiny')])
    expect((await statuses()).map(({ id, state }) => `${id} ${state}`)).toContain('voice leaving')
    held!.release()
    const said = await Promise.all([...old, ...young].map(({ tokens }) => tokens))
    expect(said).toEqual(
      ['attn-r16', 'attn-r16', 'base', 'all-linear-r8', 'all-linear-r8', 'base'].map((name) => alone.get(name)),
    )
    // And back: what is cached of the first weights is theirs again.
    await load('voice', 'attn-r16', true)
    expect(await say('voice')).toEqual(alone.get('attn-r16'))
    await until(() => bird.adapters.status().length === 1)
  })

  it('an unloaded adapter: its streams end as they would have, new requests are turned away', async () => {
    const held = bird.runtime.adapters.lease('voice')
    const streams = await Promise.all([begin('voice'), begin('voice'), begin('llama-tiny')])
    const leases = (): number => bird.adapters.status().reduce((sum, adapter) => sum + adapter.leases, 0)
    const most = leases()
    const unloading = post('/v1/unload_lora_adapter', { lora_name: 'voice' })
    await until(() => bird.adapters.list().length === 0)
    const least = leases()
    expect((await post('/v1/completions', completion('voice'))).status).toBe(404)
    held!.release()
    const response = await unloading
    expect(response.status).toBe(200)
    // The one above, and those of the streams that had not ended by then: how many is exact in test/api/runtimeLora.test.ts.
    const waitedFor = Number(response.headers.get('x-lorikeet-waited-for'))
    expect(least).toBeGreaterThanOrEqual(1)
    expect(most).toBeLessThanOrEqual(3)
    expect(waitedFor).toBeGreaterThanOrEqual(least)
    expect(waitedFor).toBeLessThanOrEqual(most)
    for (const [i, { tokens }] of streams.entries()) {
      expect(await tokens).toEqual(alone.get(i < 2 ? 'attn-r16' : 'base'))
    }
    expect(bird.adapters.status()).toEqual([])
    expect(bird.runtime.adapters.residentCount).toBe(0)
  })

  it('two hundred loads and unloads while others speak change nothing they say', async () => {
    await load('steady', 'mlp-r32')
    const paths = ['attn-r16', 'all-linear-r8', 'mlp-r32'].map((name) => join(root, 'loaded', name))
    const speaking = Promise.all(Array.from({ length: 6 }, (_, i) => say(i % 2 ? 'steady' : 'llama-tiny')))
    const coming = Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const lora_name = `voice-${i % 10}`
        const [path, body] =
          i % 2 === 0
            ? ['/v1/load_lora_adapter', { lora_name, lora_path: paths[i % 3], load_inplace: true }]
            : ['/unload_lora_adapter', { lora_name: `voice-${(i * 3) % 10}` }]
        const response = await post(path as string, body)
        const names = await served()
        // What is listed can be asked for: it is there, or it has just gone.
        expect(new Set(names).size).toBe(names.length)
        return response.status
      }),
    )
    expect((await coming).every((status) => [200, 400, 404].includes(status))).toBe(true)
    for (const [i, tokens] of (await speaking).entries()) {
      expect(tokens).toEqual(alone.get(i % 2 ? 'mlp-r32' : 'base'))
    }
    for (const name of await served()) await post('/v1/unload_lora_adapter', { lora_name: name })
    expect([await served(), bird.adapters.status(), bird.runtime.adapters.residentCount]).toEqual([[], [], 0])
  })
})

it('nothing is left on the GPU when it closes, whatever it was following', async () => {
  put('watched', 'last', 'attn-r16')
  await clock.pass(INTERVAL)
  expect(await served()).toEqual(['last'])
  await bird.close()
  expect(bird.runtime.gpu.ledger.count).toBe(0)
})
