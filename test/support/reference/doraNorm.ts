/** DoRA's row scale in f64: magnitude over the length of each row of W + scale * B A. */
import type { LoraPart } from './lora.ts'

/** @param w [out, in]; `part.rowScale` is the magnitude. Returns [out]. */
export function doraNormReference(w: Float32Array, { a, b, rank, scale, rowScale }: LoraPart): Float64Array {
  const inputs = a.length / rank
  return Float64Array.from(rowScale!, (magnitude, o) => {
    let squares = 0
    for (let k = 0; k < inputs; k++) {
      let up = 0
      for (let r = 0; r < rank; r++) up += b[o * rank + r]! * a[r * inputs + k]!
      squares += (w[o * inputs + k]! + scale * up) ** 2
    }
    return magnitude / Math.sqrt(squares)
  })
}

/** The same for an embedding: over the tokens, for each column. @param w [vocab, hidden], a [rank, vocab], b [hidden, rank] */
export function doraEmbedNormReference(
  w: Float32Array,
  {
    a,
    b,
    rank,
    scale,
    magnitude,
  }: { a: Float32Array; b: Float32Array; rank: number; scale: number; magnitude: Float32Array },
): Float64Array {
  const hidden = magnitude.length
  const vocab = a.length / rank
  return Float64Array.from(magnitude, (wanted, d) => {
    let squares = 0
    for (let token = 0; token < vocab; token++) {
      let up = 0
      for (let r = 0; r < rank; r++) up += a[r * vocab + token]! * b[d * rank + r]!
      squares += (w[token * hidden + d]! + scale * up) ** 2
    }
    return wanted / Math.sqrt(squares)
  })
}
