/**
 * What a request changes in the logits of a row before a token is drawn from them; `shaders/adjust.wgsl` applies it.
 * Rows without an adjustment cost nothing of all this.
 */

/** Most ids of a logit_bias, and most that can be banned beside them. */
export const MAX_BIASES = 300
export const MAX_BANNED = 32

/** Biases of this and less ban a token, as OpenAI's API promises. */
export const BANNING_BIAS = -100

export interface TokenBias {
  readonly id: number
  /** Added to the logit; -Infinity bans the token. */
  readonly bias: number
}

export interface Adjustment {
  /** Ids ascending, each once. */
  readonly biases: readonly TokenBias[]
  /** Bit id % 32 of word id / 32 is set for tokens that may be drawn; null allows all. */
  readonly allowed: Uint32Array | null
  readonly penalties: Penalties | null
}

export interface Penalties {
  /** Where the tokens of the sequence are counted: see TokenCounts. */
  readonly slot: number
  /** 1 is neutral for the first, 0 for the others. */
  readonly repetition: number
  readonly presence: number
  readonly frequency: number
}

/** Words of the mask over a vocabulary. */
export function maskWords(vocabSize: number): number {
  return Math.ceil(vocabSize / 32)
}

/** Most words that the adjustment of one row takes in the step's lists. */
export function adjustmentWords(vocabSize: number): number {
  return ADJUSTMENT_WORDS + 2 * (MAX_BIASES + MAX_BANNED) + maskWords(vocabSize)
}

/** Words before the biases. */
export const ADJUSTMENT_WORDS = 6

/** Both as one list by id, as an Adjustment wants it; `biases` are ascending already, `banned` in any order. */
export function mergeBiases(biases: readonly TokenBias[], banned: readonly number[]): readonly TokenBias[] {
  if (banned.length === 0) return biases
  const bans = new Set(banned)
  const kept = biases.filter(({ id }) => !bans.has(id))
  return [...kept, ...[...bans].map((id) => ({ id, bias: -Infinity }))].sort((one, other) => one.id - other.id)
}
