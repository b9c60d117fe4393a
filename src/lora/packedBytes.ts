/** The bytes of a packed group, as packing.ts lays them out: what goes into a slab. */
import { FLOAT_BYTES, type FloatDtype, toFloat32 } from '../weights/dtype.ts'
import type { LoraPart, LoraTensor, LoraVector } from './normal.ts'
import type { PackedGroup, PackedProjection } from './packing.ts'

/**
 * The bytes of one packed group, to be written to the slab at its aOffset.
 * @param baseBias of the whole group, where the base has one
 * @param rowScaleOf a row scale that is known already; else the magnitude goes in its place
 */
export function packBytes(
  packed: PackedGroup,
  baseBias: Float32Array | null = null,
  rowScaleOf: (part: LoraPart) => Float32Array | undefined = () => undefined,
): Uint8Array<ArrayBuffer> {
  const { aOffset, gains, ownRows } = packed
  const bytes = new Uint8Array(packed.byteLength)
  const floats = (offset: number, length: number) => new Float32Array(bytes.buffer, offset - aOffset, length)
  for (const projection of packed.projections) {
    if (!projection) continue
    const { module, out, outStart, rowScaleOffset, biasOffset } = projection
    packA(bytes, packed, projection)
    packB(bytes, packed, projection)
    if (rowScaleOffset !== null) floats(rowScaleOffset, out).set(rowScaleOf(module) ?? widened(module.magnitude!))
    if (biasOffset !== null) addBias(floats(biasOffset, out), module, baseBias?.subarray(outStart) ?? null)
  }
  for (const { own, offset } of gains) floats(offset, own.gain.shape[0]).set(widened(own.gain))
  if (ownRows) {
    const { rows, matrixOffset, tokensOffset } = ownRows
    bytes.set(rows.matrix.bytes, matrixOffset - aOffset)
    if (tokensOffset !== null) new Uint32Array(bytes.buffer, tokensOffset - aOffset).set(rows.tokens!)
  }
  return bytes
}

/** Row after row; for the embedding a row for each token, in which the columns of A become the elements. */
function packA(
  bytes: Uint8Array<ArrayBuffer>,
  { group, dtype, inputs, rankSum }: PackedGroup,
  projection: PackedProjection,
): void {
  const { module, column } = projection
  const width = FLOAT_BYTES[dtype]
  const a = widen(module.a, dtype)
  if (group !== 'embedding') {
    bytes.set(a, column * inputs * width)
    return
  }
  const Words = width === 4 ? Uint32Array : Uint16Array
  const from = aligned(a, width)
  const source = new Words(from.buffer as ArrayBuffer, from.byteOffset, from.byteLength / width)
  const target = new Words(bytes.buffer, bytes.byteOffset, inputs * rankSum)
  for (let r = 0; r < module.rank; r++) {
    for (let token = 0; token < inputs; token++) target[token * rankSum + r] = source[r * inputs + token]!
  }
}

function packB(bytes: Uint8Array, { dtype, aOffset }: PackedGroup, projection: PackedProjection): void {
  const { module, out, paddedRank, bOffset } = projection
  const width = FLOAT_BYTES[dtype]
  const b = widen(module.b, dtype)
  const rowBytes = module.rank * width
  for (let row = 0; row < out; row++) {
    bytes.set(b.subarray(row * rowBytes, (row + 1) * rowBytes), bOffset - aOffset + row * paddedRank * width)
  }
}

/**
 * What is added behind the adapter's B A x: B's own bias, and the difference between the adapter's bias and the base's,
 * which the kernel that follows will add.
 */
function addBias(sum: Float32Array, { scale, bias, loraBias }: LoraPart, base: Float32Array | null): void {
  if (bias) for (const [o, value] of widened(bias).entries()) sum[o]! += value - (base?.[o] ?? 0)
  if (loraBias) for (const [o, value] of widened(loraBias).entries()) sum[o]! += scale * value
}

function widen(tensor: LoraTensor, dtype: FloatDtype): Uint8Array {
  return tensor.dtype === dtype ? tensor.bytes : new Uint8Array(toFloat32(tensor.bytes, tensor.dtype).buffer)
}

function widened({ bytes, dtype }: LoraTensor | LoraVector): Float32Array {
  return toFloat32(bytes, dtype)
}

/** A typed array wants its start aligned; a file's tensors need not be. */
function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : bytes.slice()
}
