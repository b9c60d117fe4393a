/** Narrows f32 values to a weight type, for tests that need both the packed words and the values they stand for. */
import { type FloatDtype, toFloat32 } from '../../src/weights/dtype.ts'

export interface Encoded {
  /** Packed as on the GPU, padded to whole words. */
  readonly words: Uint32Array<ArrayBuffer>
  /** What the words mean, exactly. */
  readonly values: Float32Array
}

/** Rounds towards zero: which of two neighbours a value becomes is of no account here. */
export function encode(values: Float32Array, dtype: FloatDtype): Encoded {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  if (dtype === 'F32') return { words: Uint32Array.from(bits), values: Float32Array.from(values) }
  const narrow = dtype === 'BF16' ? (word: number) => word >>> 16 : f16Bits
  const halves = new Uint16Array(Math.ceil(values.length / 2) * 2)
  bits.forEach((word, i) => {
    halves[i] = narrow(word)
  })
  const bytes = new Uint8Array(halves.buffer, 0, values.length * 2)
  return { words: new Uint32Array(halves.buffer), values: toFloat32(bytes, dtype) }
}

/** Bits of an f32 below 65504 to a normal f16; what is too small becomes zero. */
function f16Bits(word: number): number {
  const sign = (word >>> 16) & 0x8000
  const exponent = ((word >>> 23) & 0xff) - 127 + 15
  return exponent <= 0 ? sign : sign | (exponent << 10) | ((word >>> 13) & 0x3ff)
}
