/** The sums of the self-test as the CPU makes them: short, slow, and beyond doubt. */
import { BLOCK_SIZE } from '../../model/kvCache.ts'
import type { FloatDtype } from '../../weights/dtype.ts'

/** y[row, o] = sum of x[row, k] * w[o, k]. @param x [rows, inputs] @param w [out, inputs] */
export function multiplyPlainly(x: ArrayLike<number>, w: ArrayLike<number>, inputs: number): Float64Array {
  const [rows, out] = [x.length / inputs, w.length / inputs]
  const y = new Float64Array(rows * out)
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < out; o++) {
      for (let k = 0; k < inputs; k++) y[row * out + o]! += x[row * inputs + k]! * w[o * inputs + k]!
    }
  }
  return y
}

export interface PlainAttention {
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  /** [heads, headDim] and more behind it. */
  readonly q: ArrayLike<number>
  /** [slots, kvHeads, headDim] */
  readonly keys: ArrayLike<number>
  readonly values: ArrayLike<number>
  /** Block of the cache for each block of the sequence. */
  readonly blocks: readonly number[]
  readonly context: number
}

/** @returns [heads, headDim] */
export function attendPlainly({
  heads,
  kvHeads,
  headDim,
  q,
  keys,
  values,
  blocks,
  context,
}: PlainAttention): Float64Array {
  const out = new Float64Array(heads * headDim)
  for (let head = 0; head < heads; head++) {
    const at = (position: number): number => {
      const slot = blocks[Math.floor(position / BLOCK_SIZE)]! * BLOCK_SIZE + (position % BLOCK_SIZE)
      return (slot * kvHeads + Math.floor(head / (heads / kvHeads))) * headDim
    }
    const scores = Array.from({ length: context }, (_, position) => {
      let dot = 0
      for (let d = 0; d < headDim; d++) dot += q[head * headDim + d]! * keys[at(position) + d]!
      return dot / Math.sqrt(headDim)
    })
    const most = Math.max(...scores)
    const weights = scores.map((score) => Math.exp(score - most))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    for (const [position, weight] of weights.entries()) {
      for (let d = 0; d < headDim; d++) out[head * headDim + d]! += (weight / total) * values[at(position) + d]!
    }
  }
  return out
}

/** Words as they lie on the GPU, for values that `dtype` holds exactly and that are 0 or of no small size. */
export function packed(values: Float32Array<ArrayBuffer>, dtype: FloatDtype): Uint32Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  if (dtype === 'F32') return bits.slice()
  const halves = new Uint16Array(Math.ceil(values.length / 2) * 2)
  bits.forEach((word, i) => {
    halves[i] = dtype === 'BF16' ? word >>> 16 : halfBits(word)
  })
  return new Uint32Array(halves.buffer)
}

function halfBits(word: number): number {
  const exponent = ((word >>> 23) & 0xff) - 127 + 15
  return exponent <= 0 ? 0 : ((word >>> 16) & 0x8000) | (exponent << 10) | ((word >>> 13) & 0x3ff)
}
