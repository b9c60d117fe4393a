/**
 * What fake models cannot show: on a device, a request brings the same tokens alone and among others, however its prompt
 * is cut, whether its blocks are its own, another's or computed twice, and whether steps run ahead or not.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EngineOptions, EngineStats } from '../../src/engine/engine.ts'
import type { GenerationEvent, GenerationRequest } from '../../src/engine/generation.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import type { EngineSizes } from '../../src/engine/sizes.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { kvBlockBytes } from '../../src/model/kvCache.ts'
import { openGpu, referenceFolder } from '../support/host.ts'
import { GREEDY, read, request, tokensOf } from '../support/requests.ts'

const MAX_TOKENS = 30
/**
 * The base, all linears, adapters whose embedding of a token differs (it must know a token that only the device knows), and
 * one that runs more layers than the base, in steps of its own.
 */
const VOICES = [null, 'all-linear-r64', 'dora-embed', 'trainable-tokens', 'layer-replication']

interface Wanted extends Partial<GenerationRequest> {
  readonly voice: string | null
}

/** The base and the adapters, each greedy, seeded, and seeded under penalties; prompts share their first 37 tokens. */
const WANTED: Wanted[] = VOICES.flatMap((voice, i): Wanted[] => {
  const prompt = (last: number) => [...Array.from({ length: 37 }, (_, n) => (n * 29 + 11) % 512), 100 + last, 7]
  const seeded = { ...GREEDY, temperature: 1, seed: 42 + i }
  const penalties = { repetitionPenalty: 1.3, frequencyPenalty: 0.5, presencePenalty: 0.2 }
  return [
    { voice, prompt: prompt(0), sampling: GREEDY, topLogprobs: 2 },
    { voice, prompt: prompt(1), sampling: { ...seeded, topP: 0.9 }, awaitsTokens: i % 2 === 1 },
    { voice, prompt: prompt(2), sampling: { ...seeded, ...penalties, topK: 40 }, minTokens: 4 },
  ]
})

interface Answers {
  readonly events: readonly GenerationEvent[][]
  readonly stats: EngineStats
}

describe('the same request on llama-tiny', () => {
  let gpu: Gpu
  let expected: readonly GenerationEvent[][]
  let wanted = WANTED
  let blockBytes = 0

  /** All requests at once, or one after the other. */
  async function answers(
    sizes: EngineSizes,
    engine: EngineOptions,
    together = true,
    whose: readonly Wanted[] = wanted,
  ): Promise<Answers> {
    const runtime = await Runtime.open(gpu, referenceFolder('models/llama-tiny'), {
      sizes: { maxNumBatchedTokens: 48, maxNumSeqs: 12, maxModelLen: 120, loraMemory: 2 ** 24, ...sizes },
      engine: { checkIntegrity: true, ...engine },
    })
    blockBytes = kvBlockBytes(runtime.spec)
    for (const name of VOICES) {
      if (name === null) continue
      const folder = referenceFolder(`adapters/llama-tiny/${name}`)
      runtime.adapters.add(name, folder.name, (await readPeftAdapter(folder, runtime.spec)).adapter)
      // Brought in beforehand, so that who runs with whom does not depend on the machine.
      const lease = runtime.adapters.lease(name)!
      await lease.ready
      lease.release()
    }
    const generate = async ({ voice, ...rest }: Wanted): Promise<GenerationEvent[]> => {
      const adapter = voice === null ? null : runtime.adapters.lease(voice)
      const reading = read(runtime.engine.generate(request({ maxTokens: MAX_TOKENS, ...rest, adapter })))
      await reading.done
      expect(reading.error).toBeNull()
      return reading.events
    }
    const events: GenerationEvent[][] = []
    if (together) events.push(...(await Promise.all(whose.map(generate))))
    else for (const one of whose) events.push(await generate(one))
    const stats = runtime.engine.stats()
    await runtime.close()
    return { events, stats }
  }

  beforeAll(async () => {
    gpu = await openGpu()
    const plain = { depth: 1, prefixCache: false }
    const free = await answers({}, plain, false)
    expect(new Set(free.events.map((events) => String(tokensOf(events)))).size).toBe(WANTED.length)
    // From now on every third of them ends at a token that it would draw, in the midst of its answer.
    wanted = WANTED.map((one, i) => {
      const stopId = tokensOf(free.events[i]!)[9]!
      return i % 3 === 1 ? { ...one, stopIds: [500, stopId] } : one
    })
    const alone = await answers({}, plain, false)
    expect(alone.stats).toMatchObject({ cachedTokens: 0, preemptions: 0 })
    expected = alone.events
    expect(
      expected.filter((events) => events.some((event) => event.type === 'finish' && event.reason === 'stop')),
    ).toHaveLength(VOICES.length)
  })
  afterAll(() => {
    expect(gpu.ledger.describe()).toBe('')
    gpu.close()
  })

  for (const depth of [1, 2, 8]) {
    const off = { depth, prefixCache: false }

    describe(`with ${depth === 1 ? 'no step ahead' : `${depth} steps in flight`}`, () => {
      it('alone', async () => {
        expect((await answers({}, off, false)).events).toEqual(expected)
      })

      it('among others', async () => {
        const { events, stats } = await answers({}, off)
        expect(events).toEqual(expected)
        expect(stats).toMatchObject({ depth, preemptions: 0 })
      })

      for (const maxNumBatchedTokens of [12, 17, 256]) {
        it(`with its prompt in steps of ${maxNumBatchedTokens} rows`, async () => {
          expect((await answers({ maxNumBatchedTokens }, off)).events).toEqual(expected)
        })
      }

      it('on blocks of a prompt that was there before', async () => {
        const { events, stats } = await answers({}, { depth }, false)
        expect(events).toEqual(expected)
        expect(stats.cachedTokens).toBe(2 * VOICES.length * 32)
      })

      it('on blocks of a prompt of the same moment', async () => {
        const { events, stats } = await answers({}, { depth })
        expect(events).toEqual(expected)
        expect(stats.cachedTokens).toBe(2 * VOICES.length * 32)
      })

      for (const prefixCache of [false, true]) {
        it(`preempted and computed again, with the prefix cache ${prefixCache ? 'on' : 'off'}`, async () => {
          // Only those that go on to their length: who stops early leaves room for the others.
          const isLong = (_: unknown, i: number) => i % 3 !== 1
          let numPreemptions = 0
          for (const numBlocks of [12, 13, 17]) {
            const sizes = { kvCacheMemory: numBlocks * blockBytes }
            const { events, stats } = await answers(sizes, { depth, prefixCache }, true, wanted.filter(isLong))
            expect(events).toEqual(expected.filter(isLong))
            numPreemptions += stats.preemptions
          }
          expect(numPreemptions).toBeGreaterThan(0)
        })
      }
    })
  }
})
