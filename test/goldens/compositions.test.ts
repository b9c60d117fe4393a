/** Weighted compositions against PEFT, alone and in one batch with the base and with their own parts. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Span } from '../../src/engine/batch.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import type { AdapterWeight } from '../../src/lora/composition.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import type { RegistryLease } from '../../src/lora/registry.ts'
import { openGpu, referenceFolder } from '../support/host.ts'
import { COMPOSITIONS, compositionLogits } from './compositions.ts'
import { certain, greedyTokens, LOGITS_TOLERANCE, largestDifference, promptLogits } from './golden.ts'

const MIB = 1024 * 1024
const models = [...new Set(COMPOSITIONS.map(({ model }) => model))]
const active = (lora: readonly AdapterWeight[]) => lora.filter(({ scale }) => scale !== 0)

describe.each(models)('%s', (model) => {
  const compositions = COMPOSITIONS.filter((each) => each.model === model)
  const names = [...new Set(compositions.flatMap(({ lora }) => lora.map(({ name }) => name)))]
  let gpu: Gpu
  let runtime: Runtime

  const load = async (name: string, from = name, replace = false) => {
    const folder = referenceFolder(`adapters/${model}/${from}`)
    const { adapter } = await readPeftAdapter(folder, runtime.spec, { baseRows: runtime.baseRows })
    runtime.adapters.add(name, folder.name, adapter, { replace })
  }
  const lease = async (lora: readonly AdapterWeight[]): Promise<RegistryLease> =>
    (await runtime.compositions.lease(active(lora)))!

  beforeAll(async () => {
    gpu = await openGpu()
    const sizes = { kvCacheMemory: 4 * MIB, loraMemory: 32 * MIB, maxNumBatchedTokens: 64 }
    const engine = { checkIntegrity: true }
    runtime = await Runtime.open(gpu, referenceFolder(`models/${model}`), { sizes, engine })
    for (const name of names) await load(name)
  })
  afterAll(async () => {
    // Whatever the tests did: nobody holds anything, and no composition outlives its parts.
    for (const status of runtime.adapters.status()) expect(status).toMatchObject({ leases: 0, state: 'loaded' })
    for (const name of names) runtime.adapters.remove(name)
    expect([runtime.compositions.size, runtime.adapters.residentCount, runtime.adapters.numVersions]).toEqual([0, 0, 0])
    await runtime.close()
    expect(gpu.ledger.describe()).toBe('')
    gpu.close()
  })

  it.each(compositions)('$name: the logits and tokens of PEFT', async ({ lora, cases }) => {
    const held = await lease(lora)
    await held.ready
    for (const each of cases) {
      const logits = await promptLogits(runtime, each, held.slot, 64)
      const difference = largestDifference(logits, await compositionLogits(each)) / each.logit_scale
      expect(difference).toBeLessThan(LOGITS_TOLERANCE)
      const expected = certain(each)
      expect((await greedyTokens(runtime, each.input_ids, await lease(lora), 20)).slice(0, expected.length)).toEqual(
        expected,
      )
    }
    held.release()
  })

  it('computes them all in one batch with the base and each adapter alone, to the bit', async () => {
    const sums = await Promise.all(compositions.map(({ lora }) => lease(lora)))
    const held = [...sums, ...names.map((name) => runtime.adapters.lease(name)!)]
    await Promise.all(held.map(({ ready }) => ready))
    const slots = [null, ...held.map(({ slot }) => slot), null]
    const prompt = Array.from({ length: 5 }, (_, i) => 40 + i * 61)
    const spans = slots.map((slot, i): Span => {
      return {
        tokens: prompt,
        start: 0,
        blockTable: [i],
        slot,
        logits: [{ row: 4, want: { score: 0 }, topLogprobs: null }],
      }
    })
    const { vocabSize } = runtime.spec
    const rowsOf = async (of: readonly Span[]) => {
      await runtime.runner.submit({ spans: of })
      return new Float32Array((await gpu.readback(runtime.logits, 0, of.length * vocabSize * 4)).buffer)
    }
    // As many as fit a step, the base among them; logits stand by slot, as rows do.
    const size = 10
    const seen = new Set<string>()
    for (let first = 0; first < spans.length; first += size) {
      const some = [spans[0]!, ...spans.slice(first, first + size).filter((span) => span !== spans[0])]
      const together = await rowsOf(some)
      const order = [...some].sort((one, other) => (one.slot ?? -1) - (other.slot ?? -1))
      for (const span of some) {
        const at = order.indexOf(span) * vocabSize
        const row = together.subarray(at, at + vocabSize)
        expect(row).toEqual(await rowsOf([span]))
        seen.add(row.join())
      }
    }
    // And they are all different, or this would prove nothing.
    expect(seen.size).toBe(1 + held.length)
    for (const each of held) each.release()
  })

  it('runs them mixed with prefill and decode as each runs alone', async () => {
    const prompts = compositions.flatMap(({ lora, cases }) => cases.map(({ input_ids }) => ({ lora, input_ids })))
    const run = async ({ lora, input_ids }: (typeof prompts)[number], isBase = false) =>
      await greedyTokens(runtime, input_ids, isBase ? null : await lease(lora), 12)
    const alone: number[][] = []
    for (const each of prompts) alone.push(await run(each))
    const [together] = await Promise.all([
      Promise.all(prompts.map((each) => run(each))),
      Promise.all(prompts.map((each) => run(each, true))),
    ])
    expect(together).toEqual(alone)
  })

  it('keeps the bytes it began with while a part is unloaded, and is another after a part was replaced', async () => {
    const { lora, cases } = compositions[0]!
    const [part] = active(lora)
    const prompt = cases[1]!.input_ids
    const alone = await greedyTokens(runtime, prompt, await lease(lora), 20)
    const before = await lease(lora)
    const { digest } = before
    const running = greedyTokens(runtime, prompt, before, 20)
    const leaving = runtime.adapters.unload(part!.name)!
    expect(leaving.leases).toBe(1)
    expect(await runtime.compositions.lease(active(lora))).toBeNull()
    expect(await running).toEqual(alone)
    // Another adapter of the same name, and then the old one again.
    await load(part!.name, names[1])
    const other = await lease(lora)
    expect(other.digest).not.toBe(digest)
    other.release()
    await load(part!.name, part!.name, true)
    const again = await lease(lora)
    expect(again.digest).toBe(digest)
    expect(await greedyTokens(runtime, prompt, again, 20)).toEqual(alone)
  })
})
