/**
 * Looks for NaN and infinity in weights as they lie in the file. One such value turns every token of every request of
 * its adapter into noise, so an adapter that has one is refused; the test is one mask a value, no conversion.
 */
import { FLOAT_BYTES, type FloatDtype } from '../weights/dtype.ts'

/** Bits of the exponent; all of them set means NaN or infinity. */
const EXPONENT: Readonly<Record<FloatDtype, number>> = { F32: 0x7f80_0000, F16: 0x7c00, BF16: 0x7f80 }

/** Index of the first element that is NaN or infinite, or null. `bytes` are little-endian, whole elements. */
export function firstNonFinite(bytes: Uint8Array, dtype: FloatDtype): number | null {
  const width = FLOAT_BYTES[dtype]
  // A typed array wants its start aligned; a file's tensors need not be.
  const aligned = bytes.byteOffset % width === 0 ? bytes : bytes.slice()
  const { buffer, byteOffset, byteLength } = aligned
  const words =
    width === 4
      ? new Uint32Array(buffer, byteOffset, byteLength / 4)
      : new Uint16Array(buffer, byteOffset, byteLength / 2)
  const mask = EXPONENT[dtype]
  for (let i = 0; i < words.length; i++) if ((words[i]! & mask) === mask) return i
  return null
}
