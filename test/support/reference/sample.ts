/** Plain f64 reference of the sampler: sorts, where the kernel bisects; the random numbers are the kernel's, bit for bit. */
import type { SamplingParams } from '../../../src/engine/batch.ts'

/** Hash of sample.wgsl. */
export function pcg(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0
  const word = Math.imul(((state >>> ((state >>> 28) + 4)) ^ state) >>> 0, 277803737) >>> 0
  return ((word >>> 22) ^ word) >>> 0
}

/** A standard exponential from (seed, position, id). */
export function exponential(seed: number, position: number, id: number): number {
  const bits = pcg((pcg((pcg(seed) ^ position) >>> 0) ^ id) >>> 0)
  return -Math.log1p(-(bits + 0.5) / 2 ** 32)
}

/** Ids that may be drawn, likeliest first, with probabilities that add to 1. */
export function keptTokens(
  logits: readonly number[],
  { temperature, topK, topP, minP }: SamplingParams,
  banned: readonly number[] = [],
): { readonly id: number; readonly probability: number }[] {
  const forbidden = new Set(banned)
  const all = logits
    .map((logit, id) => ({ id, logit }))
    .filter(({ id, logit }) => !forbidden.has(id) && logit > -Infinity)
  all.sort((one, other) => other.logit - one.logit || one.id - other.id)
  const largest = all[0]!.logit
  let kept = all.map(({ id, logit }) => ({ id, weight: Math.exp((logit - largest) / temperature) }))
  if (minP > 0) kept = kept.filter(({ weight }) => weight >= minP)
  if (topK > 0) kept = kept.slice(0, topK)
  const mass = kept.reduce((sum, { weight }) => sum + weight, 0)
  if (topP < 1) {
    let before = 0
    kept = kept.filter(({ weight }, i) => {
      const keep = i === 0 || before < topP * mass
      before += weight
      return keep
    })
  }
  const total = kept.reduce((sum, { weight }) => sum + weight, 0)
  return kept.map(({ id, weight }) => ({ id, probability: weight / total }))
}

/** The token the kernel should draw. */
export function sampleReference(
  logits: readonly number[],
  params: SamplingParams,
  position: number,
  banned: readonly number[] = [],
): number {
  if (params.temperature === 0)
    return keptTokens(logits, { ...params, temperature: 1, topK: 1, topP: 1, minP: 0 }, banned)[0]!.id
  const scores = keptTokens(logits, params, banned).map(({ id }) => ({
    id,
    score: logits[id]! / params.temperature - Math.log(exponential(params.seed, position, id)),
  }))
  return scores.reduce((best, one) =>
    one.score > best.score || (one.score === best.score && one.id < best.id) ? one : best,
  ).id
}
