/** The bytes of a packed group as they will stand in a slab. */
import { baseVectorsOf, packGroupInto } from '../../src/lora/packedBytes.ts'
import type { PackedGroup } from '../../src/lora/packing.ts'

export function packedBytes(packed: PackedGroup, baseBias: Float32Array | null = null): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(packed.byteLength)
  for (const _ of packGroupInto(bytes, packed));
  for (const piece of baseVectorsOf(packed, baseBias, () => undefined)) {
    bytes.set(piece.bytes, piece.offset - packed.aOffset)
  }
  return bytes
}
