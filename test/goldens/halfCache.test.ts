/** A KV cache in halves: twice the tokens in the same bytes, and the logits within what f16 may differ by. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Runtime } from '../../src/engine/runtime.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { kvBlockBytes } from '../../src/model/kvCache.ts'
import { openGpu, referenceFolder } from '../support/host.ts'
import { goldenLogits, goldenOf, largestDifference, promptLogits } from './golden.ts'

/** README of the reference, f16: worst of transformers itself 0.9e-2. */
const HALF_TOLERANCE = 2e-2

// Plain, a sliding window with biases' absence, and norms on q and k before the cache.
describe.each(['llama-tiny', 'mistral-tiny', 'qwen3-tiny'])('%s', (model) => {
  let gpu: Gpu
  let runtime: Runtime
  beforeAll(async () => {
    gpu = await openGpu()
    const sizes = {
      kvCacheDtype: 'F16' as const,
      kvCacheMemory: 2 ** 20,
      loraMemory: 2 ** 20,
      maxNumBatchedTokens: 128,
    }
    runtime = await Runtime.open(gpu, referenceFolder(`models/${model}`), { sizes })
  })
  afterAll(async () => {
    await runtime.close()
    expect(gpu.ledger.describe()).toBe('')
    gpu.close()
  })

  it('takes half the bytes', () => {
    expect(kvBlockBytes(runtime.spec, 'F16')).toBe(kvBlockBytes(runtime.spec) / 2)
    const expected = Math.min(32 * 32, Math.floor(2 ** 20 / kvBlockBytes(runtime.spec, 'F16')))
    expect(runtime.sizes.numBlocks).toBe(expected)
    expect(gpu.ledger.byPurpose().get('kv')!.bytes).toBe(expected * kvBlockBytes(runtime.spec, 'F16'))
  })

  it('stays within the tolerance of f16, and gives the same bits however the prompt is chunked', async () => {
    const golden = goldenOf(model)
    for (const each of golden.cases) {
      const whole = await promptLogits(runtime, each, null, 128)
      const difference = largestDifference(whole, await goldenLogits(golden, each)) / each.logit_scale
      expect(difference).toBeLessThan(HALF_TOLERANCE)
      if (each.input_ids.length > 1) expect(difference).toBeGreaterThan(1e-5) // it is in halves indeed
      expect(await promptLogits(runtime, each, null, 13)).toEqual(whole)
    }
  })
})
