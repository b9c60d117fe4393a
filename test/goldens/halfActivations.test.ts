/** What projections read in halves: logits within a stated distance, the same bits in any batch, and no number that does not fit. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Span } from '../../src/engine/batch.ts'
import { InvalidLogitsError } from '../../src/engine/errors.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { type Folder, memoryFolder } from '../../src/weights/folder.ts'
import { referenceFolder } from '../support/host.ts'
import { greedyTokens } from './golden.ts'
import { HALF_TOLERANCE, HalfRuntime } from './halves.ts'

const HALVES = { activationDtype: 'F16' } as const

// Plain; low rank on all linears; of the output layer, and rows in its place.
const VOICES = [null, 'all-linear-r8', 'lora-lm-head', 'save-lm-head'] as const

describe('llama-tiny', () => {
  let half: HalfRuntime
  beforeAll(async () => {
    half = await HalfRuntime.open(
      'llama-tiny',
      HALVES,
      VOICES.filter((voice) => voice !== null),
    )
  })
  afterAll(() => half.close())

  for (const voice of VOICES) {
    it(`${voice ?? 'the base'}: close to f32, and the same however the prompt is chunked`, async () => {
      const { difference, certainTokens } = await half.compare(voice)
      expect(difference).toBeLessThan(HALF_TOLERANCE)
      expect(difference).toBeGreaterThan(1e-4) // it is in halves indeed
      expect(certainTokens).toBeGreaterThan(0)
    })
  }

  it('gives every row of a batch the bits it gets alone', async () => {
    const { runtime } = half
    const { gpu, runner, spec } = runtime
    const leases = VOICES.map((voice) => (voice === null ? null : runtime.adapters.lease(voice)!))
    await Promise.all(leases.map((lease) => lease?.ready))
    // Prompts of all lengths beside each other, rows of the base and of every adapter.
    const spans: Span[] = leases.flatMap((lease, i) =>
      [1, 2, 7].map((length) => ({
        tokens: Array.from({ length }, (_, at) => (i * 131 + at * 17 + length) % 512),
        start: 0,
        blockTable: [3 * i + (length % 4)],
        slot: lease?.slot ?? null,
        logits: [{ row: length - 1, want: { score: 0 }, topLogprobs: null }],
      })),
    )
    const bytes = spec.vocabSize * 4
    await runner.submit({ spans })
    const together = await gpu.readback(runtime.logits, 0, spans.length * bytes)
    // Logits stand by slot, as rows do.
    const order = [...spans].sort((one, other) => (one.slot ?? -1) - (other.slot ?? -1))
    for (const [i, span] of order.entries()) {
      await runner.submit({ spans: [span] })
      const alone = await gpu.readback(runtime.logits, 0, bytes)
      expect(together.subarray(i * bytes, (i + 1) * bytes), `row ${i}`).toEqual(alone)
    }
    for (const lease of leases) lease?.release()
  })
})

/** An adapter that adds much to gates and ups: finite in f32, too large for halves. */
function amplified(folder: Folder): Folder {
  const config = {
    peft_type: 'LORA',
    r: 32,
    lora_alpha: 2 ** 18,
    target_modules: ['gate_proj', 'up_proj', 'down_proj', 'o_proj'],
  }
  const own = memoryFolder('loud', { 'adapter_config.json': JSON.stringify(config) })
  const of = (path: string) => (path === 'adapter_config.json' ? own : folder)
  return { name: 'loud', open: (path) => of(path).open(path), has: (path) => of(path).has(path) }
}

describe('a number beyond 65504', () => {
  const PROMPT = [5, 17, 230, 41]

  async function ask(dtype: 'F16' | 'F32') {
    const half = await HalfRuntime.open('llama-tiny', { activationDtype: dtype })
    const { runtime } = half
    const { adapter } = await readPeftAdapter(amplified(referenceFolder('adapters/llama-tiny/mlp-r32')), runtime.spec)
    runtime.adapters.add('loud', 'loud', adapter)
    const alone = await greedyTokens(runtime, PROMPT, null)
    const [loud, base] = await Promise.allSettled([
      greedyTokens(runtime, PROMPT, runtime.adapters.lease('loud')),
      greedyTokens(runtime, PROMPT, null),
    ])
    expect(base).toEqual({ status: 'fulfilled', value: alone })
    await half.close()
    return loud
  }

  it('ends its request with an error that says what to do, and no other request', async () => {
    const loud = await ask('F16')
    expect(loud.status).toBe('rejected')
    const { reason } = loud as PromiseRejectedResult
    expect(reason).toBeInstanceOf(InvalidLogitsError)
    expect((reason as Error).message).toContain('try without --activation-dtype float16')
  })

  it('is none to f32', async () => {
    const loud = await ask('F32')
    expect(loud).toMatchObject({ status: 'fulfilled' })
  })
})
