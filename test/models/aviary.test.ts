/**
 * The embedded model: that it is what models/README.md says, and that its numbers through lorikeet, over HTTP and mixed in
 * one batch, are PyTorch's.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serve } from '../../src/hosts/node/serve.ts'
import type { RunningServer } from '../../src/hosts/server.ts'
import { Lorikeet } from '../../src/lorikeet.ts'
import { AVIARY, BASE, evaluation, negativeLogLikelihood, perplexityTables, VOICES } from './aviary.ts'

/** Of each voice; the rest are for the full tests. */
const WINDOWS = 2

function bytesBelow(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name)
    return sum + (entry.isDirectory() ? bytesBelow(path) : statSync(path).size)
  }, 0)
}

describe('models/aviary', () => {
  it('is small enough to come along', () => {
    expect(bytesBelow(AVIARY)).toBeLessThan(14e6)
    const header = readFileSync(join(AVIARY, 'model.safetensors'))
    const length = Number(header.readBigUInt64LE(0))
    const { __metadata__, ...tensors } = JSON.parse(header.toString('utf8', 8, 8 + length)) as Record<
      string,
      { shape: number[]; dtype: string }
    >
    const sizes = Object.values(tensors).map(({ shape }) => shape.reduce((product, size) => product * size, 1))
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(4.5e6)
    expect(new Set(Object.values(tensors).map(({ dtype }) => dtype))).toEqual(new Set(['F16']))
  })

  it('has adapters of different rank, reach and kind', () => {
    const configs = VOICES.map((voice) =>
      JSON.parse(readFileSync(join(AVIARY, 'adapters', voice, 'adapter_config.json'), 'utf8')),
    )
    expect(new Set(configs.map(({ r }) => r)).size).toBe(4)
    expect(configs.filter(({ use_dora }) => use_dora)).toHaveLength(1)
    expect(configs.filter(({ use_rslora }) => use_rslora)).toHaveLength(1)
    for (const voice of VOICES) expect(bytesBelow(join(AVIARY, 'adapters', voice))).toBeLessThan(1.2e6)
  })

  it('has voices: on held-out text each adapter is the best in its own column, by a tenth and more', () => {
    const { perplexity } = evaluation.heldout
    for (const voice of VOICES) {
      const own = perplexity[voice][voice]
      expect(own).toBeLessThan(0.9 * perplexity.base[voice])
      for (const other of VOICES) if (other !== voice) expect(own).toBeLessThan(perplexity[other][voice])
    }
  })

  it('is recognised by its samples', () => {
    const { samples, lowest_perplexity_under } = evaluation.recognition
    for (const voice of VOICES) expect(lowest_perplexity_under[voice][voice]).toBeGreaterThanOrEqual(0.9 * samples)
  })
})

describe('aviary, served', () => {
  let bird: Lorikeet
  let server: RunningServer

  beforeAll(async () => {
    bird = await Lorikeet.open({
      model: AVIARY,
      adapters: VOICES.map((name) => ({ name, source: join(AVIARY, 'adapters', name) })),
    })
    server = await serve((request) => bird.fetch(request), { port: 0 })
  })

  afterAll(async () => {
    await server.close({ graceMs: 0 })
    await bird.close()
    expect(bird.runtime.gpu.ledger.bytes).toBe(0)
  })

  const measure = (model: string, ids: readonly number[]) =>
    negativeLogLikelihood((path, init) => fetch(server.url + path, init), model, ids)

  it('has the perplexities of PyTorch, base and voices mixed in one batch', async () => {
    const { ours, pytorch } = await perplexityTables(WINDOWS, measure)
    for (const speaker of ['base', ...VOICES] as const) {
      for (const voice of VOICES) {
        expect(ours[speaker][voice] / pytorch[speaker][voice], `${speaker} on ${voice}`).toBeCloseTo(1, 3)
      }
    }
  })

  it('answers eight chats at once, each in its own voice, in one batch', async () => {
    const ask = async (model: string, maxTokens: number) => {
      let text = ''
      const messages = [{ role: 'user', content: 'And it came to pass' }]
      for await (const piece of bird.chat({ model, messages, maxTokens, temperature: 0 })) text += piece
      return text
    }
    // So that all voices are on the GPU when the eight begin.
    await Promise.all(VOICES.map((voice) => ask(voice, 1)))
    const answers = await Promise.all([BASE, ...VOICES, ...VOICES.slice(0, 3)].map((model) => ask(model, 24)))
    // Greedy: as many answers as voices, and the same voice says the same again.
    expect(new Set(answers).size).toBe(1 + VOICES.length)
    expect(answers.slice(1 + VOICES.length)).toEqual(answers.slice(1, 4))
    const stats = await (await fetch(`${server.url}/v1/stats`)).json()
    const steps: { adapter: string | null; decode: number }[][] = stats.steps.recent.map(
      ({ rows }: { rows: unknown }) => rows,
    )
    const fullest = steps.map((rows) => rows.filter(({ decode }) => decode > 0).map(({ adapter }) => adapter))
    expect(Math.max(...fullest.map((adapters) => adapters.length))).toBe(1 + VOICES.length)
  })
})
