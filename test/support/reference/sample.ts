/** Plain f64 reference of the sampler: sorts, where the kernel draws and checks; the random numbers are the kernel's, bit for bit. */
import type { SamplingParams } from '../../../src/engine/batch.ts'

export interface ReferenceRow {
  readonly logits: readonly number[]
  readonly params: SamplingParams
  readonly position: number
  readonly banned?: readonly number[]
  readonly allowed?: Uint32Array
  /** Tokens before the one to draw. */
  readonly tokens?: readonly number[]
  readonly numPrompt?: number
}

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

/** Logits as they are drawn from: masked, biased, penalised. */
export function adjusted({ logits, params, banned = [], allowed, tokens = [], numPrompt = 0 }: ReferenceRow): number[] {
  const { presencePenalty = 0, frequencyPenalty = 0, repetitionPenalty = 1, logitBias = [] } = params
  const changed = logits.map((x, id) => (allowed && !((allowed[id >> 5]! >>> (id & 31)) & 1) ? -Infinity : x))
  for (const id of banned) changed[id] = -Infinity
  for (const { id, bias } of logitBias) changed[id]! += bias <= -100 ? -Infinity : bias
  for (const id of new Set(tokens)) {
    const x = changed[id]!
    const times = tokens.slice(numPrompt).filter((token) => token === id).length
    changed[id] = (x > 0 ? x / repetitionPenalty : x * repetitionPenalty) - frequencyPenalty * times
    if (times > 0) changed[id] -= presencePenalty
  }
  return changed
}

/** Ids that may be drawn, likeliest first, with probabilities that add to 1. */
export function keptTokens(row: ReferenceRow): { readonly id: number; readonly probability: number }[] {
  const { topK, topP, minP } = row.params
  const temperature = row.params.temperature || 1
  const all = adjusted(row)
    .map((logit, id) => ({ id, logit }))
    .filter(({ logit }) => logit > -Infinity)
  all.sort((one, other) => other.logit - one.logit || one.id - other.id)
  if (row.params.temperature === 0) return all.slice(0, 1).map(({ id }) => ({ id, probability: 1 }))
  const largest = all[0]?.logit ?? 0
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

/** The token the kernel should draw; null where none may be. */
export function sampleReference(row: ReferenceRow): number | null {
  const { seed } = row.params
  const scores = keptTokens(row).map(({ id, probability }) => ({
    id,
    score: Math.log(probability) - Math.log(exponential(seed, row.position, id)),
  }))
  if (scores.length === 0) return null
  return scores.reduce((best, one) =>
    one.score > best.score || (one.score === best.score && one.id < best.id) ? one : best,
  ).id
}
