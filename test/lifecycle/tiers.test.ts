/**
 * More adapters than host memory and the GPU hold, behind a real port: every request is answered by its own adapter, from
 * whichever tier it has to come, and told what became of its files where they are not what they were.
 */
import { cpSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serve } from '../../src/hosts/node/serve.ts'
import type { RunningServer } from '../../src/hosts/server.ts'
import { Lorikeet } from '../../src/lorikeet.ts'
import { reference } from '../fixtures.ts'
import { TestClock, until } from '../support/testClock.ts'

const MIB = 1024 * 1024
const INTERVAL = 10_000
const NAMES = ['attn-r16', 'all-linear-r8', 'mlp-r32', 'r5', 'rslora-r16', 'patterns', 'dora-r8']
const clock = new TestClock()
let root = ''
let bird: Lorikeet
let server: RunningServer
/** What each says when the others leave it alone. */
const alone = new Map<string, readonly number[]>()

beforeAll(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'lorikeet-tiers-')))
  mkdirSync(join(root, 'watched'))
  for (const name of NAMES) put(name, name)
  bird = await Lorikeet.open({
    model: reference('models/llama-tiny'),
    sizes: { kvCacheMemory: 8 * MIB, loraMemory: 4 * MIB, maxLoras: 2, maxNumBatchedTokens: 128, maxModelLen: 256 },
    maxHostLoras: 3,
    loraDirectory: { path: join(root, 'watched'), refreshSeconds: INTERVAL / 1000, clock },
  })
  server = await serve((request) => bird.fetch(request), { port: 0 })
  for (const name of NAMES) alone.set(name, await say(name))
  expect(new Set([...alone.values()].map(String)).size).toBe(NAMES.length)
})

afterAll(async () => {
  await server?.close({ graceMs: 0 })
  await bird?.close()
  rmSync(root, { recursive: true, force: true })
})

/** Puts a reference adapter in its place in one stroke. */
function put(name: string, adapter: string): void {
  const fresh = join(root, `fresh-${name}`)
  cpSync(reference(`adapters/llama-tiny/${adapter}`), fresh, { recursive: true })
  rmSync(join(root, 'watched', name), { recursive: true, force: true })
  renameSync(fresh, join(root, 'watched', name))
}

const post = (model: string, more: object = {}): Promise<Response> =>
  fetch(`${server.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      ...{ model, prompt: [20, 57, 94, 131], max_tokens: 24, temperature: 0, ignore_eos: true, return_token_ids: true },
      ...more,
    }),
  })

async function say(model: string): Promise<readonly number[]> {
  const response = await post(model)
  if (!response.ok) throw new Error(await response.text())
  return (await response.json()).choices[0].token_ids
}

interface Status {
  readonly id: string
  readonly tier: string
  readonly host_bytes: number
  readonly reads: number
  readonly read_failures: number
  readonly drops: number
  readonly prompt_tokens: number
  readonly generated_tokens: number
}
async function status(name: string): Promise<Status> {
  const { data } = (await (await fetch(`${server.url}/v1/lora_adapters`)).json()) as { data: Status[] }
  return data.find(({ id }) => id === name)!
}

/** Uses others until `name` is only where it came from. */
async function sendToStore(name: string): Promise<void> {
  for (const other of NAMES.filter((each) => each !== name)) await say(other)
  expect(await status(name)).toMatchObject({ tier: 'store', host_bytes: 0 })
}

describe('seven adapters, three in host memory, two on the GPU', () => {
  it('all answer as themselves, however they come', async () => {
    const wanted = Array.from({ length: 60 }, (_, i) => NAMES[(i * i + (i >> 2)) % NAMES.length]!)
    const said = await Promise.all(wanted.map((name) => say(name)))
    for (const [i, tokens] of said.entries()) expect(tokens, wanted[i]).toEqual(alone.get(wanted[i]!))
    await until(() => bird.adapters.status().every(({ leases }) => leases === 0))
    const { host, residentCount } = bird.runtime.adapters
    expect([host.size, residentCount]).toEqual([3, 2])
    for (const name of NAMES) {
      const { reads, prompt_tokens, generated_tokens } = await status(name)
      const requests = 1 + wanted.filter((each) => each === name).length
      expect(reads).toBeGreaterThan(0)
      expect([prompt_tokens, generated_tokens]).toEqual([4 * requests, 24 * requests])
    }
  })

  it('a request that goes away while its adapter is read leaves nothing behind', async () => {
    await sendToStore('r5')
    const controller = new AbortController()
    const gone = bird.fetch('http://lorikeet/v1/completions', {
      method: 'POST',
      body: JSON.stringify({ model: 'r5', prompt: 'x', max_tokens: 4, stream: true }),
      signal: controller.signal,
    })
    await until(() => bird.adapters.status().find(({ name }) => name === 'r5')!.leases === 1)
    controller.abort()
    await gone.catch(() => undefined)
    await until(() => bird.adapters.status().every(({ leases }) => leases === 0))
    expect(bird.runtime.adapters.host.numReads).toBe(0)
    expect(await say('r5')).toEqual(alone.get('r5'))
  })
})

describe('files that are not what they were', () => {
  it('changed: who needs them is told, others are not held up, and the next look serves what is there', async () => {
    await sendToStore('patterns')
    put('patterns', 'all-linear-r64')
    const [refused, fine] = await Promise.all([post('patterns'), say('mlp-r32')])
    expect(fine).toEqual(alone.get('mlp-r32'))
    expect(refused.status).toBe(503)
    const { error } = await refused.json()
    expect(error).toMatchObject({ type: 'ServiceUnavailableError', param: 'model', reason: 'adapter_files_changed' })
    expect(error.message).toMatch(
      /^Adapter "patterns" is not in memory, and the files in .* have changed since it was loaded/,
    )
    expect(await status('patterns')).toMatchObject({ tier: 'store', read_failures: 1 })
    await clock.pass(INTERVAL)
    expect((await say('patterns')).length).toBe(24)
    expect(await say('patterns')).not.toEqual(alone.get('patterns'))
    put('patterns', 'patterns')
    await clock.pass(INTERVAL)
    expect(await say('patterns')).toEqual(alone.get('patterns'))
  })

  it('half copied: the same, until the copy is complete', async () => {
    await sendToStore('attn-r16')
    const folder = join(root, 'watched/attn-r16')
    rmSync(join(folder, 'adapter_model.safetensors'))
    expect((await (await post('attn-r16')).json()).error).toMatchObject({ code: 503, reason: 'adapter_files_gone' })
    writeFileSync(join(folder, 'adapter_model.safetensors'), new Uint8Array(100))
    await clock.pass(INTERVAL)
    expect((await (await post('attn-r16')).json()).error).toMatchObject({ code: 503, reason: 'adapter_files_changed' })
    put('attn-r16', 'attn-r16')
    // What it was is there again, and so the old name works at once.
    expect(await say('attn-r16')).toEqual(alone.get('attn-r16'))
  })

  it('gone: a stream that has begun ends as it would have; a later request is told, then the name goes', async () => {
    await say('dora-r8')
    const streaming = await post('dora-r8', { stream: true, max_tokens: 200 })
    rmSync(join(root, 'watched/dora-r8'), { recursive: true })
    expect((await streaming.text()).endsWith('data: [DONE]\n\n')).toBe(true)
    await sendToStore('dora-r8')
    expect((await (await post('dora-r8')).json()).error).toMatchObject({ code: 503, reason: 'adapter_files_gone' })
    // A stream, too, is told as long as nothing of it was sent.
    const streamed = await (await post('dora-r8', { stream: true })).text()
    expect(streamed).toContain('adapter_files_gone')
    await clock.pass(INTERVAL)
    expect((await post('dora-r8')).status).toBe(404)
  })
})

it('nothing is left when it closes, with adapters in all tiers', async () => {
  await bird.close()
  expect(bird.runtime.gpu.ledger.count).toBe(0)
})
