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
