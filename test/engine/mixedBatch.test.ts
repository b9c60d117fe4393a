/** One batch of many adapters: everybody gets what they get alone, and a step stays one pass and one submit. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Span } from '../../src/engine/batch.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import type { RegistryLease } from '../../src/lora/registry.ts'
import { GREEDY } from '../goldens/golden.ts'
import { otherAdapters } from '../goldens/otherAdapters.ts'
import { openGpu, referenceFolder } from '../support/host.ts'

const MIB = 1024 * 1024
/** Ranks 1, 5, 8, 16, 64, mixed ranks in one adapter, other targets, other widths; null is the base. */
const PLAIN = [
  null,
  'r1',
  'r5',
  'all-linear-r8',
  'rslora-r16',
  'all-linear-r64',
  null,
  'patterns',
  'bf16',
  'qv-r8',
  'r5',
]
/** Adapters that do more than add B A x. */
const OTHERS = otherAdapters('llama-tiny')
const VOICES = [...PLAIN.slice(0, 5), ...OTHERS, ...PLAIN.slice(5)]
/** Runs four layers where the base has three, in steps of its own. */
const DEEPER = 'layer-replication'
const SHARING = VOICES.filter((voice) => voice !== DEEPER)

/** What invokes `alora`; it works from there on. */
const INVOCATION = [2, 200, 201]
const INVOKED_AT = 1

/** Deterministic prompts of different lengths, each with the invocation. */
function prompt(index: number): number[] {
  const tokens = Array.from({ length: 3 + ((index * 11) % 37) }, (_, i) => (index * 131 + i * i * 7 + 17 * i) % 512)
  return tokens.toSpliced(INVOKED_AT, 0, ...INVOCATION)
}

describe('a mixed batch on llama-tiny', () => {
  let gpu: Gpu
  let runtime: Runtime
  const leases = new Map<string, RegistryLease>()

  beforeAll(async () => {
    gpu = await openGpu()
    // Few rows per step, so that prompts are chunked and prefill meets decode in most steps.
    const sizes = { kvCacheMemory: 4 * MIB, loraMemory: 16 * MIB, maxNumBatchedTokens: 64, maxNumSeqs: VOICES.length }
    runtime = await Runtime.open(gpu, referenceFolder('models/llama-tiny'), {
      sizes,
      // Nobody takes over what another computed, or "alone" would not be alone.
      engine: { checkIntegrity: true, prefixCache: false },
    })
    for (const name of new Set(VOICES)) {
      if (name === null) continue
      const folder = referenceFolder(`adapters/llama-tiny/${name}`)
      runtime.adapters.add(name, folder.name, (await readPeftAdapter(folder, runtime.spec)).adapter)
      const lease = runtime.adapters.lease(name)!
      await lease.ready
      leases.set(name, lease)
    }
  })
  afterAll(async () => {
    for (const lease of leases.values()) lease.release()
    await runtime.close()
    expect(gpu.ledger.describe()).toBe('')
    gpu.close()
  })

  const slotOf = (voice: string | null) => (voice === null ? null : leases.get(voice)!.slot)

  async function generate(voice: string | null, tokens: readonly number[]): Promise<number[]> {
    const out: number[] = []
    const generation = runtime.engine.generate({
      id: `${voice}`,
      prompt: tokens,
      adapter: voice === null ? null : runtime.adapters.lease(voice),
      sampling: GREEDY,
      maxTokens: 24,
      minTokens: 0,
      stopIds: [],
      topLogprobs: null,
      promptLogprobs: null,
      signal: null,
    })
    for await (const event of generation) if (event.type === 'token') out.push(event.token)
    return out
  }

  it('gives every sequence the tokens it gets alone, prefill and decode mixed', async () => {
    const alone: number[][] = []
    for (const [i, voice] of VOICES.entries()) alone.push(await generate(voice, prompt(i)))
    const together = await Promise.all(VOICES.map((voice, i) => generate(voice, prompt(i))))
    expect(together).toEqual(alone)
    // The adapters matter, or this would prove nothing: the same prompt, another answer of each voice.
    const same = await Promise.all(VOICES.map((voice) => generate(voice, prompt(3))))
    expect(new Set(same.map(String)).size).toBe(new Set(VOICES).size)
  })

  it('gives every row the very bits it gets alone', async () => {
    const { vocabSize } = runtime.spec
    const blocks = (i: number) => [3 * i + 2, 3 * i, 3 * i + 1]
    const wanted = (row: number) => [{ row, want: { score: 0 }, topLogprobs: null }]
    // Everyone is a few tokens into its prompt; then odd ones decode a row while even ones compute a chunk.
    const before: Span[] = SHARING.map((voice, i) => ({
      tokens: prompt(i).slice(0, 2),
      start: 0,
      blockTable: blocks(i),
      slot: slotOf(voice),
      activeFrom: voice === 'alora' ? INVOKED_AT : 0,
      logits: [],
    }))
    const now: Span[] = SHARING.map((voice, i) => {
      const tokens = prompt(i).slice(2, i % 2 ? 3 : 3 + (i % 4))
      return { tokens, start: 2, blockTable: blocks(i), slot: slotOf(voice), logits: wanted(tokens.length - 1) }
    })
    await runtime.runner.submit({ spans: before })
    await runtime.runner.submit({ spans: now })
    const rows = new Float32Array((await gpu.readback(runtime.logits, 0, now.length * vocabSize * 4)).buffer)
    // Logits stand by slot, as rows do.
    const order = [...now].sort((one, other) => (one.slot ?? -1) - (other.slot ?? -1))
    for (const [i, span] of now.entries()) {
      await runtime.runner.submit({ spans: [before[i]!] })
      await runtime.runner.submit({ spans: [span] })
      const alone = new Float32Array((await gpu.readback(runtime.logits, 0, vocabSize * 4)).buffer)
      const at = order.indexOf(span) * vocabSize
      expect(rows.subarray(at, at + vocabSize), `sequence ${i}, ${SHARING[i]}`).toEqual(alone)
    }
  })

  it('is one write, one pass and one submit a step, and dispatches nothing for adapters a step does not use', async () => {
    const span = (i: number, voice: string | null): Span => ({
      tokens: [7],
      start: 0,
      blockTable: [i],
      slot: slotOf(voice),
      logits: [{ row: 0, want: { sample: GREEDY, position: 1, banned: [] }, topLogprobs: null }],
    })
    const cost = async (spans: Span[]) => {
      await runtime.runner.submit({ spans })
      const before = gpu.counters.snapshot()
      await runtime.runner.submit({ spans })
      return gpu.counters.since(before)
    }
    const base = await cost(SHARING.map((_, i) => span(i, null)))
    const mixed = await cost(PLAIN.map((voice, i) => span(i, voice)))
    const attentionOnly = await cost([span(0, 'qv-r8'), span(1, null)])
    const chunk: Span = { ...span(0, null), tokens: [7, 8, 9], logits: [] }
    const prompt = await cost([chunk])
    const promptAndRow = await cost([chunk, span(1, null)])
    const nothingElse = {
      passes: 1,
      submits: 1,
      uploads: 1,
      readbacks: 1,
      buffersCreated: 0,
      bindGroupsCreated: 0,
      pipelinesCompiled: 0,
    }
    const one = async (voice: string) => await cost([span(0, voice), span(1, null)])
    const others = new Map<string, Awaited<ReturnType<typeof cost>>>()
    for (const voice of OTHERS) if (voice !== DEEPER) others.set(voice, await one(voice))
    for (const counters of [base, mixed, attentionOnly, promptAndRow, ...others.values()])
      expect(counters).toMatchObject(nothingElse)
    const { numLayers } = runtime.spec
    // Besides the layers: embedding, final norm, lm_head, sampler.
    expect((base.dispatches - 4) / numLayers).toBe(9)
    // A prompt whose logits nobody wants has none of the last three. Attention does its rows apart from single ones.
    expect((prompt.dispatches - 1) / numLayers).toBe(9)
    expect((promptAndRow.dispatches - 4) / numLayers).toBe(10)
    expect((mixed.dispatches - base.dispatches) / numLayers).toBe(8)
    expect((attentionOnly.dispatches - base.dispatches) / numLayers).toBe(2)
    // What each kind adds to the step: in every layer, and outside of them.
    const added: Readonly<Record<string, readonly [perLayer: number, outside: number]>> = {
      // Row scales behind each of the groups: of all four, and of q, o and up.
      'dora-r8': [12, 0],
      'dora-rank-pattern': [9, 0],
      'dora-f16': [12, 0],
      'lora-bias': [12, 0],
      // Gains cost no dispatch; q and v do, and rows of the embedding.
      'save-norms-embed': [2, 1],
      'lora-embed': [2, 2],
      // Scales on both: embedding rows, expand and scale; shrink, expand and scale.
      'dora-embed': [0, 3 + 3],
      'trainable-tokens': [2, 1],
      // Where it is invoked it is LoRA like any other.
      alora: [8, 0],
      'lora-lm-head': [2, 2],
      'save-lm-head': [2, 1],
    }
    for (const [voice, { dispatches }] of others) {
      const [perLayer, outside] = added[voice]!
      expect(dispatches - base.dispatches, voice).toBe(perLayer * numLayers + outside)
    }
  })

  it('takes what a step of other layers costs from those layers, and lets nobody else into it', async () => {
    const span = (blocks: number[], voice: string | null): Span => ({
      tokens: [7],
      start: 0,
      blockTable: blocks,
      slot: slotOf(voice),
      logits: [{ row: 0, want: { sample: GREEDY, position: 1, banned: [] }, topLogprobs: null }],
    })
    const deeper = span([0, 1], DEEPER)
    await runtime.runner.submit({ spans: [deeper] })
    const before = gpu.counters.snapshot()
    await runtime.runner.submit({ spans: [deeper] })
    // Four layers of nine, with LoRA on q and v.
    const counters = { submits: 1, passes: 1, uploads: 1, buffersCreated: 0, bindGroupsCreated: 0 }
    expect(gpu.counters.since(before)).toMatchObject({ ...counters, dispatches: 4 + 4 * (9 + 2) })
    // The last word: a runner that was given such a step runs no other.
    await expect(runtime.runner.submit({ spans: [deeper, span([2], 'qv-r8')] })).rejects.toThrow('different layers')
  })
})
