/**
 * Merged serving against what PEFT computes unmerged. On a base in f32 nothing is rounded but W' itself, to f32: the
 * tolerance is that of all goldens. Where the base is stored in f16 or bf16 so is W', and the logits differ by what
 * rounding every weight once more makes of it: at most half a unit in the last place, 2^-11 or 2^-8 of it relative.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Span } from '../../src/engine/batch.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { openGpu, referenceFolder } from '../support/host.ts'
import {
  GREEDY,
  goldenLogits,
  goldenOf,
  greedyTokens,
  LOGITS_TOLERANCE,
  largestDifference,
  promptLogits,
} from './golden.ts'

const MIB = 1024 * 1024
const SIZES = { kvCacheMemory: MIB, loraMemory: MIB, maxNumBatchedTokens: 64, maxModelLen: 160 }

/** By the width of the base: share of the logit scale that logits may differ by. */
const TOLERANCES = { F32: LOGITS_TOLERANCE, F16: 3e-3, BF16: 2.5e-2 } as const

const MERGED: Readonly<
  Record<string, { readonly width: keyof typeof TOLERANCES; readonly adapters: readonly string[] }>
> = {
  'llama-tiny': {
    width: 'F32',
    adapters: [
      ...['all-linear-r8', 'patterns', 'bf16', 'dora-r8', 'dora-rank-pattern', 'lora-bias', 'save-norms-embed'],
      ...['lora-embed', 'dora-embed', 'trainable-tokens', 'lora-lm-head', 'save-lm-head', 'nemo-mcore-equal'],
    ],
  },
  'qwen2-tiny': { width: 'F32', adapters: ['bias-all', 'bias-lora-only', 'lora-bias', 'dora-bias-all'] },
  // Tied, in bf16.
  'llama3-tiny': {
    width: 'BF16',
    adapters: ['all-linear-r8', 'lora-embed', 'save-embed', 'trainable-tokens', 'lora-lm-head', 'save-lm-head'],
  },
  'mistral-tiny': { width: 'F16', adapters: ['all-linear-r8', 'dora-r4'] },
  'qwen3-tiny': { width: 'BF16', adapters: ['all-linear-r8', 'save-qk-norm'] },
}

let gpu: Gpu
beforeAll(async () => {
  gpu = await openGpu()
})
afterAll(() => {
  expect(gpu.ledger.describe()).toBe('')
  gpu.close()
})

function open(model: string, adapter: string | null): Promise<Runtime> {
  const merge = adapter === null ? null : { name: adapter, folder: referenceFolder(`adapters/${model}/${adapter}`) }
  return Runtime.open(gpu, referenceFolder(`models/${model}`), { sizes: SIZES, merge })
}

/** What a step of one row does. */
async function cost(runtime: Runtime) {
  const span: Span = {
    tokens: [7],
    start: 0,
    blockTable: [0],
    slot: null,
    logits: [{ row: 0, want: { sample: GREEDY, position: 1, banned: [] }, topLogprobs: null }],
  }
  await runtime.runner.submit({ spans: [span] })
  const before = gpu.counters.snapshot()
  await runtime.runner.submit({ spans: [span] })
  const { dispatches, passes, uploads, uploadedBytes } = gpu.counters.since(before)
  return { dispatches, passes, uploads, uploadedBytes }
}

describe.each(Object.entries(MERGED))('%s with an adapter merged into it', (model, { width, adapters }) => {
  const tolerance = TOLERANCES[width]
  let plain: Awaited<ReturnType<typeof cost>>
  beforeAll(async () => {
    const base = await open(model, null)
    plain = await cost(base)
    await base.close()
  })

  it.each(adapters)('%s: the logits and tokens of PEFT, and no step does anything for it', async (adapter) => {
    const runtime = await open(model, adapter)
    try {
      expect(await cost(runtime)).toEqual(plain)
      expect(runtime.merged).toMatchObject({ name: adapter, digest: expect.stringMatching(/^[0-9a-f]{64}$/) })
      const golden = goldenOf(`${model}/${adapter}`)
      for (const each of golden.cases) {
        const logits = await promptLogits(runtime, each, null, 64)
        const difference = largestDifference(logits, await goldenLogits(golden, each)) / each.logit_scale
        expect(difference).toBeLessThan(tolerance)
        // A step whose margin is below twice the tolerance may go either way.
        const open = each.margins.findIndex((margin) => margin < 2 * tolerance * each.logit_scale)
        const expected = open < 0 ? each.greedy : each.greedy.slice(0, open)
        const tokens = await greedyTokens(runtime, each.input_ids, null)
        expect(tokens.slice(0, expected.length)).toEqual(expected)
      }
    } finally {
      await runtime.close()
    }
  })
})
