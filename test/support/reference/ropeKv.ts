/** Bias, head norms and rotary positions of one row's heads, in f64. */
import { rmsNormReference } from './addNorm.ts'

export interface RopeReferenceShape {
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  /** Dimensions that are turned. Default all. */
  readonly rotaryDim?: number
  readonly eps: number
}

export interface RopeWeights {
  /** As wide as a row of qkv. */
  readonly bias: Float32Array | null
  /** Gains of the q and k norms, [headDim]. */
  readonly norms: { readonly q: Float32Array; readonly k: Float32Array } | null
  /** [positions, headDim / 2] of (cos, sin), of which those that are turned count. */
  readonly rope: Float32Array
}

/** One row of qkv -> its q [heads, headDim], k and v [kvHeads, headDim], ready for attention and the cache. */
export function ropeReference(
  row: ArrayLike<number>,
  position: number,
  { heads, kvHeads, headDim, rotaryDim = headDim, eps }: RopeReferenceShape,
  { bias, norms, rope }: RopeWeights,
): { q: Float64Array; k: Float64Array; v: Float64Array } {
  const biased = Float64Array.from(row, (x, i) => x + (bias?.[i] ?? 0))
  const qWidth = heads * headDim
  const kvWidth = kvHeads * headDim
  let q: Float64Array = biased.subarray(0, qWidth)
  let k: Float64Array = biased.subarray(qWidth, qWidth + kvWidth)
  if (norms) {
    q = rmsNormReference(q, norms.q, eps)
    k = rmsNormReference(k, norms.k, eps)
  }
  const turn = (x: Float64Array) => {
    const half = rotaryDim / 2
    return x.map((value, at) => {
      const i = at % headDim
      if (i >= rotaryDim) return value
      const pair = (position * (headDim / 2) + (i % half)) * 2
      const [cos, sin] = [rope[pair]!, rope[pair + 1]!]
      return i < half ? value * cos - x[at + half]! * sin : value * cos + x[at - half]! * sin
    })
  }
  return { q: turn(q), k: turn(k), v: biased.subarray(qWidth + kvWidth) }
}
