/** The same routes with a model on the device: what a handful of requests cost is what they say. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StatsJson } from '../../src/api/stats.ts'
import type { RequestTrace } from '../../src/engine/observer.ts'
import { Lorikeet } from '../../src/lorikeet.ts'
import { reference } from '../fixtures.ts'
import { Metrics } from './support/parseMetrics.ts'

const MIB = 1024 * 1024
let bird: Lorikeet
const finished: RequestTrace[] = []

beforeAll(async () => {
  bird = await Lorikeet.open({
    model: reference('models/llama-tiny'),
    sizes: { kvCacheMemory: 8 * MIB, loraMemory: 4 * MIB, maxLoras: 2, maxNumBatchedTokens: 64, maxModelLen: 128 },
    engine: { observer: { finished: (trace) => void finished.push(trace) } },
    adapters: ['r1', 'attn-r16', 'mlp-r32'].map((name) => ({
      name,
      source: reference(`adapters/llama-tiny/${name}`),
    })),
  })
})
afterAll(() => bird.close())

async function complete(model: string, prompt: readonly number[], maxTokens: number): Promise<void> {
  const body = JSON.stringify({ model, prompt, max_tokens: maxTokens, temperature: 0, ignore_eos: true })
  const headers = { 'content-type': 'application/json' }
  const response = await bird.fetch('http://lorikeet/v1/completions', { method: 'POST', headers, body })
  if (!response.ok) throw new Error(await response.text())
  await response.arrayBuffer()
}

const metrics = async (): Promise<Metrics> => new Metrics(await (await bird.fetch('http://lorikeet/metrics')).text())
const stats = async (since = -1): Promise<StatsJson> =>
  (await (await bird.fetch(`http://lorikeet/v1/stats?since=${since}`)).json()) as StatsJson

describe('on a device', () => {
  it('requests, adapters, memory and dispatches are counted', async () => {
    const prompt = Array.from({ length: 40 }, (_, i) => 20 + i)
    for (const model of ['r1', 'attn-r16', 'mlp-r32', 'r1']) await complete(model, prompt, 4)
    await complete('llama-tiny', prompt, 4)
    await complete('llama-tiny', prompt, 4)

    const now = await metrics()
    expect(now.value('vllm:request_success_total', { finished_reason: 'length' })).toBe(6)
    expect(now.value('vllm:prompt_tokens_total')).toBe(240)
    expect(now.value('vllm:generation_tokens_total')).toBe(24)
    expect(now.value('vllm:prefix_cache_hits_total')).toBeGreaterThan(0)
    expect(now.value('vllm:time_to_first_token_seconds_count')).toBe(6)
    const of = (adapter: string, name: string): number => now.value(`lorikeet_adapter_${name}`, { adapter })
    expect(of('r1', 'requests_total')).toBe(2)
    expect(of('r1', 'prompt_tokens_total')).toBe(80)
    expect(of('r1', 'generation_tokens_total')).toBe(8)
    expect(of('r1', 'time_to_first_token_seconds_count')).toBe(2)
    // Two fit at once, and four requests named three in turn: each had to be brought in.
    expect(of('r1', 'misses_total')).toBe(2)
    expect(of('r1', 'loads_total')).toBe(2)
    expect(of('r1', 'evictions_total')).toBe(1)
    expect(of('mlp-r32', 'hits_total') + of('mlp-r32', 'misses_total')).toBe(1)
    expect(now.value('lorikeet_adapters_resident')).toBe(2)
    const { gpu } = bird.runtime
    const byPurpose = [...gpu.ledger.byPurpose()]
    for (const [purpose, { bytes }] of byPurpose) {
      expect(now.value('lorikeet_gpu_memory_bytes', { purpose })).toBe(bytes)
    }
    expect(now.value('lorikeet_gpu_dispatches_total')).toBe(gpu.counters.dispatches)
  })

  it('the steps are there by adapter, and those behind a number', async () => {
    const before = await stats()
    const last = before.steps.total - 1
    await Promise.all([complete('r1', [30, 31, 32], 3), complete('llama-tiny', [33, 34], 3)])
    const after = await stats(last)
    expect(after.steps.recent[0]?.step).toBe(last + 1)
    const rows = after.steps.recent.flatMap((step) => step.rows)
    const sum = (name: string | null) =>
      rows.reduce(
        ([prefill, decode], row) =>
          row.adapter === name ? [prefill! + row.prefill, decode! + row.decode] : [prefill!, decode!],
        [0, 0],
      )
    expect(sum('r1')).toEqual([3, 2])
    expect(sum(null)).toEqual([2, 2])
    expect(after.memory.total).toBe(bird.runtime.gpu.ledger.bytes)
    expect(after.kv.bytes).toBe(bird.runtime.gpu.ledger.byPurpose().get('kv')!.bytes)
    expect(after.device.isSoftware).toBe(bird.runtime.gpu.can.software)
    expect(after.adapters).toMatchObject({ names: 3, loaded: 3, resident: 2, max_resident: 2, running: [] })
    expect(after.adapters.used_bytes).toBeGreaterThan(0)
    expect(finished).toHaveLength(8) // and the program's own observer saw them too
  })
})
