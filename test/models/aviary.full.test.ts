/** All recorded windows of held-out text (models/evaluation.json) through lorikeet: the whole table against PyTorch's. */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { EngineSizes } from '../../src/engine/sizes.ts'
import { Lorikeet } from '../../src/lorikeet.ts'
import { AVIARY, negativeLogLikelihood, perplexityTables, VOICES } from './aviary.ts'

const HALVES: readonly (readonly [string, EngineSizes])[] = [
  ['f32', {}],
  ['activations in halves', { activationDtype: 'F16' }],
  ['activations, keys and values in halves', { activationDtype: 'F16', kvCacheDtype: 'F16' }],
]

it.each(HALVES)('the table of perplexities: %s', async (_, sizes) => {
  await using bird = await Lorikeet.open({
    model: AVIARY,
    adapters: VOICES.map((name) => ({ name, source: join(AVIARY, 'adapters', name) })),
    sizes,
  })
  const { ours, pytorch } = await perplexityTables(Infinity, (model, ids) =>
    negativeLogLikelihood((path, init) => bird.fetch(`http://lorikeet${path}`, init), model, ids),
  )
  console.table(ours)
  const ratios: number[] = []
  for (const speaker of ['base', ...VOICES] as const) {
    for (const voice of VOICES) {
      const ratio = ours[speaker][voice] / pytorch[speaker][voice]
      ratios.push(Math.abs(ratio - 1))
      expect(ratio, `${speaker} on ${voice}`).toBeCloseTo(1, 3)
      if (speaker !== voice) expect(ours[voice][voice]).toBeLessThan(ours[speaker][voice])
    }
    if (speaker !== 'base') expect(ours[speaker][speaker]).toBeLessThan(0.9 * ours.base[speaker])
  }
  console.log(`largest share by which a perplexity is not PyTorch's: ${Math.max(...ratios).toExponential(1)}`)
})
