/** Element types of tensors: how wide they are and how they widen to f32. */

/** Types that weights may have; they stay in their own width on the GPU. */
export type FloatDtype = 'F32' | 'F16' | 'BF16'

export const FLOAT_BYTES: Readonly<Record<FloatDtype, number>> = { F32: 4, F16: 2, BF16: 2 }

/** Bits of an IEEE half to its f32 value, exactly. */
export function f16ToF32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** Widens little-endian `bytes` of `dtype` to f32, exactly. */
export function toFloat32(bytes: Uint8Array, dtype: FloatDtype): Float32Array {
  const count = bytes.byteLength / FLOAT_BYTES[dtype]
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out = new Float32Array(count)
  if (dtype === 'F32') {
    for (let i = 0; i < count; i++) out[i] = view.getFloat32(i * 4, true)
  } else if (dtype === 'F16') {
    for (let i = 0; i < count; i++) out[i] = f16ToF32(view.getUint16(i * 2, true))
  } else {
    const words = new Uint32Array(out.buffer)
    for (let i = 0; i < count; i++) words[i] = view.getUint16(i * 2, true) << 16
  }
  return out
}
