/** What fake models cannot show: that blocks taken over from others, or computed twice, hold on a device what they should. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EngineOptions } from '../../src/engine/engine.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import type { EngineSizes } from '../../src/engine/sizes.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { openGpu } from '../../src/gpu/open.node.ts'
import { directoryFolder } from '../../src/hosts/node/files.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { kvBlockBytes } from '../../src/model/kvCache.ts'
import { reference } from '../fixtures.ts'
import { GREEDY, read, request, tokensOf } from '../support/requests.ts'

/** Three adapters and the base, twice each, once greedy and once seeded; prompts share their first 37 tokens. */
const WANTED = [null, 'all-linear-r8', 'rslora-r16', 'all-linear-r64'].flatMap((voice) =>
  [0, 1].map((choice) => ({
    voice,
    prompt: [...Array.from({ length: 37 }, (_, i) => (i * 29 + 11) % 512), 100 + choice, 7],
    sampling: { ...GREEDY, temperature: choice, seed: 42 },
  })),
)

describe('blocks on llama-tiny', () => {
  let gpu: Gpu
  let expected: number[][]
  let blockBytes: number

  /** All requests at once, or one after the other. */
  async function answers(sizes: EngineSizes, engine: EngineOptions, together: boolean) {
    const runtime = await Runtime.open(gpu, directoryFolder(reference('models/llama-tiny')), {
      sizes: { maxNumBatchedTokens: 48, maxNumSeqs: 8, maxModelLen: 80, loraMemory: 2 ** 24, ...sizes },
      engine: { checkIntegrity: true, ...engine },
    })
    for (const name of new Set(WANTED.map(({ voice }) => voice))) {
      if (name === null) continue
      const folder = directoryFolder(reference(`adapters/llama-tiny/${name}`))
      runtime.adapters.add(name, folder.name, (await readPeftAdapter(folder, runtime.spec)).adapter)
    }
    const generate = async ({ voice, ...wanted }: (typeof WANTED)[number]): Promise<number[]> => {
      const adapter = voice === null ? null : runtime.adapters.lease(voice)
      const reading = read(runtime.engine.generate(request({ ...wanted, adapter, maxTokens: 30 })))
      await reading.done
      expect(reading.error).toBeNull()
      return tokensOf(reading.events)
    }
    const tokens: number[][] = []
    if (together) tokens.push(...(await Promise.all(WANTED.map(generate))))
    else for (const wanted of WANTED) tokens.push(await generate(wanted))
    const result = { tokens, stats: runtime.engine.stats(), blockBytes: kvBlockBytes(runtime.spec) }
    await runtime.close()
    return result
  }

  beforeAll(async () => {
    gpu = await openGpu()
    const alone = await answers({}, { prefixCache: false }, false)
    expect(alone.stats).toMatchObject({ cachedTokens: 0, preemptions: 0 })
    expected = alone.tokens
    blockBytes = alone.blockBytes
    expect(new Set(expected.map(String)).size).toBe(WANTED.length)
  })
  afterAll(() => {
    expect(gpu.ledger.describe()).toBe('')
    gpu.close()
  })

  it('taken over from a prompt that was there before give the same tokens', async () => {
    const { tokens, stats } = await answers({}, {}, false)
    expect(tokens).toEqual(expected)
    expect(stats.cachedTokens).toBe(4 * 32)
  })

  it('taken over from a prompt of the same moment give the same tokens', async () => {
    const { tokens, stats } = await answers({}, {}, true)
    expect(tokens).toEqual(expected)
    expect(stats.cachedTokens).toBe(4 * 32)
  })

  for (const prefixCache of [false, true]) {
    it(`computed again after a preemption give the same tokens, with the cache ${prefixCache ? 'on' : 'off'}`, async () => {
      const { tokens, stats } = await answers({ kvCacheMemory: 17 * blockBytes }, { prefixCache }, true)
      expect(stats.preemptions).toBeGreaterThan(0)
      expect(tokens).toEqual(expected)
    })
  }
})
