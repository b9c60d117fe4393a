/** Element types of tensors: how wide they are and how they widen to f32. */

/** Types that weights may have; they stay in their own width on the GPU. */
export type FloatDtype = 'F32' | 'F16' | 'BF16'

export const FLOAT_BYTES: Readonly<Record<FloatDtype, number>> = { F32: 4, F16: 2, BF16: 2 }

/** Widens little-endian `bytes` of `dtype` to f32, exactly. */
export function toFloat32(bytes: Uint8Array, dtype: FloatDtype): Float32Array {
  const count = bytes.byteLength / FLOAT_BYTES[dtype]
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out = new Float32Array(count)
  if (dtype === 'F32') {
    for (let i = 0; i < count; i++) out[i] = view.getFloat32(i * 4, true)
    return out
  }
  const words = new Uint32Array(out.buffer)
  if (dtype === 'F16') {
    for (let i = 0; i < count; i++) words[i] = f16ToF32Bits(view.getUint16(i * 2, true))
  } else {
    for (let i = 0; i < count; i++) words[i] = view.getUint16(i * 2, true) << 16
  }
  return out
}

/** Bits of a half to those of the f32 of the same value. Models have hundreds of millions of them: no powers here. */
function f16ToF32Bits(bits: number): number {
  const sign = (bits & 0x8000) << 16
  const exponent = bits & 0x7c00
  const fraction = bits & 0x3ff
  if (exponent === 0x7c00) return sign | 0x7f80_0000 | (fraction << 13)
  if (exponent !== 0) return sign | (((exponent >> 10) + 112) << 23) | (fraction << 13)
  if (fraction === 0) return sign
  // Subnormal: its first bit becomes the one that is not stored.
  const shift = Math.clz32(fraction) - 21
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)
}

/** Rounds f32 values to `dtype`, little-endian: to the nearest, ties to even; what is too large for it is infinite. */
export function fromFloat32(values: Float32Array, dtype: FloatDtype): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(values.length * FLOAT_BYTES[dtype])
  const view = new DataView(out.buffer)
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  if (dtype === 'F32') {
    for (let i = 0; i < bits.length; i++) view.setUint32(i * 4, bits[i]!, true)
  } else {
    const round = dtype === 'F16' ? f32ToF16 : f32ToBf16
    for (let i = 0; i < bits.length; i++) view.setUint16(i * 2, round(bits[i]!), true)
  }
  return out
}

/** Bits of an f32 value to those of the nearest bfloat16. */
function f32ToBf16(bits: number): number {
  if ((bits & 0x7fff_ffff) > 0x7f80_0000) return (bits >>> 16) | 0x40 // NaN stays NaN
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
}

/** Bits of an f32 value to those of the nearest IEEE half. */
function f32ToF16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const size = bits & 0x7fff_ffff
  if (size > 0x7f80_0000) return sign | 0x7e00 // NaN
  if (size >= 0x477f_f000) return sign | 0x7c00 // from 65520 on
  // From 2^-14 on: another exponent, and thirteen bits less.
  if (size >= 0x3880_0000) return sign | ((size - 0x3800_0000 + 0xfff + ((size >>> 13) & 1)) >>> 13)
  // Below, steps of 2^-24: the value is (its 24 bits) * 2^(exponent - 150).
  const shift = 126 - (size >>> 23)
  if (shift > 24) return sign
  const significand = (size & 0x7f_ffff) | 0x80_0000
  const half = (1 << (shift - 1)) - 1 + ((significand >>> shift) & 1)
  return sign | ((significand + half) >>> shift)
}
