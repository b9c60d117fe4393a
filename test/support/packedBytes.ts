/** The pieces of a packed group put together: its bytes as they will stand in a slab. */
import { packedPieces } from '../../src/lora/packedBytes.ts'
import type { PackedGroup } from '../../src/lora/packing.ts'

export function packedBytes(
  packed: PackedGroup,
  ...options: Parameters<typeof packedPieces> extends [unknown, ...infer Rest] ? Rest : never
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(packed.byteLength)
  for (const piece of packedPieces(packed, ...options)) bytes.set(piece.bytes, piece.offset - packed.aOffset)
  return bytes
}
