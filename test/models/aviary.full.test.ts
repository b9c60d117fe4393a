/** All recorded windows of held-out text (models/evaluation.json) through lorikeet: the whole table against PyTorch's. */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Lorikeet } from '../../src/lorikeet.ts'
import { AVIARY, negativeLogLikelihood, perplexityTables, VOICES } from './aviary.ts'

it('the table of perplexities', async () => {
  await using bird = await Lorikeet.open({
    model: AVIARY,
    adapters: VOICES.map((name) => ({ name, source: join(AVIARY, 'adapters', name) })),
  })
  const { ours, pytorch } = await perplexityTables(Infinity, (model, ids) =>
    negativeLogLikelihood((path, init) => bird.fetch(`http://lorikeet${path}`, init), model, ids),
  )
  console.table(ours)
  for (const speaker of ['base', ...VOICES] as const) {
    for (const voice of VOICES) {
      expect(ours[speaker][voice] / pytorch[speaker][voice], `${speaker} on ${voice}`).toBeCloseTo(1, 3)
      if (speaker !== voice) expect(ours[voice][voice]).toBeLessThan(ours[speaker][voice])
    }
    if (speaker !== 'base') expect(ours[speaker][speaker]).toBeLessThan(0.9 * ours.base[speaker])
  }
})
