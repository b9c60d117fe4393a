/** An engine whose kernels are tuned gives the same tokens and bits: with findings of an earlier start, and while they come. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Runtime, type RuntimeOptions } from '../../src/engine/runtime.ts'
import { tuningTable } from '../../src/engine/tuning.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { defaultTuning } from '../../src/model/kernels/tuning.ts'
import { MemoryTuningStore } from '../../src/model/tuner/tuningStore.ts'
import { GREEDY } from '../goldens/golden.ts'
import { openGpu, referenceFolder } from '../support/host.ts'

const MIB = 1024 * 1024

async function open(gpu: Gpu, tuning: RuntimeOptions['tuning'] & object): Promise<Runtime> {
  const sizes = { kvCacheMemory: 4 * MIB, loraMemory: 4 * MIB, maxNumBatchedTokens: 64, maxNumSeqs: 4 }
  const runtime = await Runtime.open(gpu, referenceFolder('models/llama-tiny'), { sizes, tuning })
  const { adapter } = await readPeftAdapter(referenceFolder('adapters/llama-tiny/r5'), runtime.spec)
  runtime.adapters.add('r5', 'a test', adapter)
  return runtime
}

/** Tokens of four sequences at once, two under an adapter, and the bits of a row of logits of each. */
async function answers(runtime: Runtime): Promise<unknown> {
  const all = Array.from({ length: 4 }, async (_, i) => {
    const generation = runtime.engine.generate({
      id: `${i}`,
      prompt: Array.from({ length: 5 + 9 * i }, (_, k) => (k * k * 31 + 7 * i) % 512),
      adapter: i % 2 === 0 ? null : runtime.adapters.lease('r5'),
      sampling: GREEDY,
      maxTokens: 6,
      minTokens: 0,
      stopIds: [],
      topLogprobs: 5,
      promptLogprobs: null,
      signal: null,
    })
    const events = []
    for await (const event of generation) events.push(event)
    return events
  })
  return await Promise.all(all)
}

describe('an engine whose kernels are tuned', () => {
  let gpu: Gpu
  let usual: unknown
  beforeAll(async () => {
    gpu = await openGpu()
    const runtime = await open(gpu, { mode: 'never' })
    usual = await answers(runtime)
    await runtime.close()
  })
  afterAll(() => gpu.close())

  it('gives the same bits with what an earlier start has found, and measures nothing again', async () => {
    const store = new MemoryTuningStore()
    const keys: string[] = []
    const spy = {
      async read(key: string) {
        keys.push(key)
        return store.read(key)
      },
      write: (key: string, text: string) => store.write(key, text),
    }
    const first = await open(gpu, { mode: 'never', store: spy, retune: false })
    const { tunables } = first.tuner
    await first.close()
    expect(keys).toEqual([]) // 'never' asks nobody

    const findings = Object.fromEntries(
      tunables.map(({ name, candidates, chosen }) => {
        const other = candidates.find(({ label }) => label !== chosen(defaultTuning(gpu.can)))!
        const ms = Object.fromEntries(candidates.map((each) => [each.label, each === other ? 0.5 : 1]))
        return [name, { chosen: other.label, ms, rejected: {}, slow: {} }]
      }),
    )
    const known = { read: async () => JSON.stringify(findings), write: async () => expect.unreachable() }
    const runtime = await open(gpu, { mode: 'always', store: known })
    await runtime.tuner.done
    for (const { name, chosen } of tunables) expect(chosen(runtime.tuner.tuning)).toBe(findings[name]!.chosen)
    expect(tuningTable(runtime.tuner)[0]).toEqual({
      kernel: 'matmul, 1 row',
      chosen: findings['matmul, 1 row']!.chosen,
      because: expect.stringMatching(/ 500 us; .* 1000 us(; .* 1000 us)*$/),
    })
    expect(await answers(runtime)).toEqual(usual)
    await runtime.close()
  })

  it('gives the same bits while it measures, and after', async () => {
    const store = new MemoryTuningStore()
    const found: string[] = []
    const problems: unknown[] = []
    const runtime = await open(gpu, {
      mode: 'always',
      budgetMs: 200,
      store,
      onFound: (name) => found.push(name),
      onProblem: (error) => problems.push(error),
    })
    const held = gpu.ledger.bytes
    for (let i = 0; i < 3; i++) expect(await answers(runtime)).toEqual(usual)
    await runtime.tuner.done
    expect(problems).toEqual([])
    expect(found.length).toBeGreaterThan(0)
    expect(gpu.ledger.bytes).toBeLessThanOrEqual(held) // what was measured with is gone
    expect(await answers(runtime)).toEqual(usual)
    expect(tuningTable(runtime.tuner)[0]!.because).toMatch(/ us/)
    await runtime.close()

    const second = await open(gpu, { store, onFound: () => expect.unreachable() })
    expect(second.tuner.findings).toEqual(runtime.tuner.findings)
    await second.close()
  })

  it('leaves a software device alone unless it is told to', async () => {
    const runtime = await open(gpu, { onFound: () => expect.unreachable() })
    expect(gpu.can.software).toBe(true)
    await runtime.tuner.done
    expect(runtime.tuner.findings).toEqual({})
    expect(runtime.tuner.tuning).toEqual(defaultTuning(gpu.can))
    await runtime.close()
  })
})
