/** Causal attention of one row over a paged cache, in f64. */

export interface AttentionReferenceShape {
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  /** Positions the row sees, itself included; null: all. */
  readonly window: number | null
}

export interface PagedCache {
  /** [slots, kvHeads, headDim] */
  readonly keys: ArrayLike<number>
  readonly values: ArrayLike<number>
  readonly blockSize: number
}

/** @param q [heads, headDim] of a row at `position` whose sequence has these blocks. @returns [heads, headDim] */
export function attentionReference(
  q: ArrayLike<number>,
  position: number,
  blocks: readonly number[],
  { keys, values, blockSize }: PagedCache,
  { heads, kvHeads, headDim, window }: AttentionReferenceShape,
): Float64Array {
  const out = new Float64Array(heads * headDim)
  const first = window === null ? 0 : Math.max(0, position + 1 - window)
  for (let head = 0; head < heads; head++) {
    const kvHead = Math.floor(head / (heads / kvHeads))
    const start = (at: number) =>
      ((blocks[Math.floor(at / blockSize)]! * blockSize + (at % blockSize)) * kvHeads + kvHead) * headDim
    const scores: number[] = []
    for (let at = first; at <= position; at++) {
      let dot = 0
      for (let d = 0; d < headDim; d++) dot += q[head * headDim + d]! * keys[start(at) + d]!
      scores.push(dot / Math.sqrt(headDim))
    }
    const most = scores.reduce((one, other) => Math.max(one, other))
    const weights = scores.map((score) => Math.exp(score - most))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    weights.forEach((weight, i) => {
      for (let d = 0; d < headDim; d++) {
        out[head * headDim + d]! += (weight / total) * values[start(first + i) + d]!
      }
    })
  }
  return out
}
