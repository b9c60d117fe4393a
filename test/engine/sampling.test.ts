/** Penalties, biases and masks through the whole engine: alone and in company, computed once and computed again. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SamplingParams } from '../../src/engine/batch.ts'
import type { GenerationEvent, GenerationRequest } from '../../src/engine/generation.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { kvBlockBytes } from '../../src/model/kvCache.ts'
import { GREEDY } from '../goldens/golden.ts'
import { openGpu, referenceFolder } from '../support/host.ts'

const PROMPT = [7, 31, 200, 5, 31, 88]
const VOCAB = 512

describe('sampling on llama-tiny', () => {
  let gpu: Gpu
  let runtime: Runtime
  beforeAll(async () => {
    gpu = await openGpu()
    runtime = await open(64)
  })
  afterAll(async () => {
    await runtime.close()
    expect(gpu.ledger.describe()).toBe('')
    gpu.close()
  })

  async function open(numBlocks: number): Promise<Runtime> {
    const folder = referenceFolder('models/llama-tiny')
    const blockBytes = runtime ? kvBlockBytes(runtime.spec) : 4096
    const sizes = { kvCacheMemory: numBlocks * blockBytes, loraMemory: 1 << 16, maxModelLen: 64, maxNumSeqs: 6 }
    return Runtime.open(gpu, folder, { sizes, engine: { checkIntegrity: true, prefixCache: false } })
  }

  async function eventsOf(
    sampling: Partial<SamplingParams>,
    request: Partial<GenerationRequest> = {},
    on: Runtime = runtime,
  ): Promise<GenerationEvent[]> {
    const events: GenerationEvent[] = []
    const generation = on.engine.generate({
      id: 'one',
      prompt: PROMPT,
      adapter: null,
      sampling: { ...GREEDY, ...sampling },
      maxTokens: 40,
      minTokens: 0,
      stopIds: [],
      topLogprobs: null,
      promptLogprobs: null,
      signal: null,
      ...request,
    })
    for await (const event of generation) events.push(event)
    return events
  }
  const tokensOf = async (...wanted: Parameters<typeof eventsOf>) =>
    (await eventsOf(...wanted)).flatMap((event) => (event.type === 'token' ? [event.token] : []))

  it('draws nothing twice under a large presence penalty, and nothing of the prompt under a repetition penalty', async () => {
    const plain = await tokensOf({ temperature: 0.3, seed: 1 })
    expect(new Set(plain).size).toBeLessThan(plain.length)
    const present = await tokensOf({ temperature: 0.3, seed: 1, presencePenalty: 1000 })
    expect(new Set(present).size).toBe(40)
    // The prompt's tokens are likeliest by far; divided by as much they are not.
    const logitBias = [...new Set(PROMPT)].sort((one, other) => one - other).map((id) => ({ id, bias: 60 }))
    expect(PROMPT).toContain((await tokensOf({ logitBias }))[0])
    const repeated = await tokensOf({ logitBias, repetitionPenalty: 1e4, presencePenalty: 1000 }, { maxTokens: 8 })
    expect(repeated.filter((token) => PROMPT.includes(token))).toEqual([])
  })

  it('draws allowed ids only, not those biased away, and none that stops before its time', async () => {
    const allowed = new Uint32Array(VOCAB / 32)
    const ids = [3, 64, 100, 511]
    for (const id of ids) allowed[id >> 5]! |= 1 << (id & 31)
    const drawn = await tokensOf({ temperature: 2, seed: 4, allowed, logitBias: [{ id: 100, bias: -100 }] })
    expect([...new Set(drawn)].sort((one, other) => one - other)).toEqual([3, 64, 511])
    const few = { temperature: 2, seed: 4, allowed }
    const early = await tokensOf(few, { stopIds: [3, 64] })
    expect(early.length).toBeLessThan(20)
    const late = await tokensOf(few, { stopIds: [3, 64], minTokens: 20 })
    expect(late.length).toBeGreaterThanOrEqual(20)
    expect(late.filter((token) => token === 3 || token === 64)).toEqual([])
  })

  it('reports the log probabilities of the model, not of what was made of them', async () => {
    const first = async (sampling: Partial<SamplingParams>) => {
      const [event] = await eventsOf(sampling, { maxTokens: 1, topLogprobs: 3 })
      return event?.type === 'token' ? event.logprobs! : null
    }
    const plain = await first({})
    const second = plain!.top[1]!
    const biased = await first({ logitBias: [{ id: plain!.top[0]!.token, bias: -100 }], repetitionPenalty: 1.5 })
    expect(biased!.top).toEqual(plain!.top)
    expect(biased).toMatchObject({ rank: 2, logprob: second.logprob })
  })

  it('gives everybody what they get alone, also when there is room for few and they are computed again', async () => {
    const wanted: Partial<SamplingParams>[] = [
      {},
      { temperature: 0.9, seed: 1, presencePenalty: 0.5, frequencyPenalty: 0.5 },
      { temperature: 0.9, seed: 2, repetitionPenalty: 1.3 },
      { presencePenalty: 2, logitBias: [{ id: 9, bias: 5 }] },
      { temperature: 0.9, seed: 3, repetitionPenalty: 0.9, topP: 0.9 },
      { temperature: 1.5, topK: 40, topP: 0.8, seed: 4, frequencyPenalty: 1 },
    ]
    const alone: number[][] = []
    for (const sampling of wanted) alone.push(await tokensOf(sampling))
    expect(await Promise.all(wanted.map((sampling) => tokensOf(sampling)))).toEqual(alone)

    const crowded = await open(7)
    const together = await Promise.all([...wanted, ...wanted].map((sampling) => tokensOf(sampling, {}, crowded)))
    const { preemptions } = crowded.engine.stats()
    await crowded.close()
    expect(together).toEqual([...alone, ...alone])
    expect(preemptions).toBeGreaterThan(1)
  })
})
