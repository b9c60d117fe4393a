/** The bytes of a packed group, as packing.ts lays them out, a piece after the other: what goes into a slab. */
import { FLOAT_BYTES, type FloatDtype, toFloat32 } from '../weights/dtype.ts'
import type { LoraPart, LoraTensor, LoraVector } from './normal.ts'
import type { PackedGroup, PackedProjection } from './packing.ts'
import type { PackedPiece } from './slabWriter.ts'

/** What has to be put in another order goes through blocks of about this size, so that no piece takes long to make. */
const BLOCK_BYTES = 64 * 1024

/**
 * In the order of their places; what lies between them is zero.
 * @param baseBias of the whole group, where the base has one
 * @param rowScaleOf a row scale that is known already; else the magnitude goes in its place
 */
export function* packedPieces(
  packed: PackedGroup,
  baseBias: Float32Array | null = null,
  rowScaleOf: (part: LoraPart) => Float32Array | undefined = () => undefined,
): Generator<PackedPiece, void, undefined> {
  const { gains, ownRows } = packed
  const projections = packed.projections.filter((one) => one !== null)
  const done = new Set<LoraTensor>()
  for (const projection of projections) {
    // Those that share theirs have one column.
    if (!done.has(projection.module.a)) yield* piecesOfA(packed, projection)
    done.add(projection.module.a)
  }
  for (const projection of projections) {
    const { module, out, outStart, rowScaleOffset, biasOffset } = projection
    yield* piecesOfB(packed, projection)
    if (rowScaleOffset !== null) {
      yield { offset: rowScaleOffset, bytes: bytesOf(rowScaleOf(module) ?? widened(module.magnitude!)) }
    }
    if (biasOffset !== null) {
      yield { offset: biasOffset, bytes: bytesOf(biasOf(module, out, baseBias?.subarray(outStart) ?? null)) }
    }
  }
  for (const { own, offset } of gains) yield { offset, bytes: bytesOf(widened(own.gain)) }
  if (!ownRows) return
  const { rows, matrixOffset, tokensOffset } = ownRows
  yield { offset: matrixOffset, bytes: rows.matrix.bytes }
  if (tokensOffset !== null) yield { offset: tokensOffset, bytes: bytesOf(Uint32Array.from(rows.tokens!)) }
}

/** Row after row; for the embedding a row for each token, in which the columns of A become the elements. */
function* piecesOfA(
  { group, dtype, inputs, rankSum, aOffset }: PackedGroup,
  { module, column }: PackedProjection,
): Generator<PackedPiece, void, undefined> {
  const width = FLOAT_BYTES[dtype]
  const a = widen(module.a, dtype)
  if (group !== 'embedding') {
    yield { offset: aOffset + column * inputs * width, bytes: a }
    return
  }
  const Words = width === 4 ? Uint32Array : Uint16Array
  const from = aligned(a, width)
  const source = new Words(from.buffer as ArrayBuffer, from.byteOffset, from.byteLength / width)
  const block = new Words(Math.max(1, Math.floor(BLOCK_BYTES / (rankSum * width))) * rankSum)
  for (let first = 0; first < inputs; first += block.length / rankSum) {
    const count = Math.min(block.length / rankSum, inputs - first)
    for (let r = 0; r < module.rank; r++) {
      for (let i = 0; i < count; i++) block[i * rankSum + r] = source[r * inputs + first + i]!
    }
    yield { offset: aOffset + first * rankSum * width, bytes: bytesOf(block.subarray(0, count * rankSum)) }
  }
}

/** Row after row, each filled up to the padded rank. */
function* piecesOfB(
  { dtype }: PackedGroup,
  { module, out, paddedRank, bOffset }: PackedProjection,
): Generator<PackedPiece, void, undefined> {
  const b = widen(module.b, dtype)
  if (module.rank === paddedRank) {
    yield { offset: bOffset, bytes: b }
    return
  }
  const rowBytes = module.rank * FLOAT_BYTES[dtype]
  const paddedBytes = paddedRank * FLOAT_BYTES[dtype]
  const most = Math.max(1, Math.floor(BLOCK_BYTES / paddedBytes))
  const block = new Uint8Array(Math.min(most, out) * paddedBytes)
  for (let first = 0; first < out; first += most) {
    const count = Math.min(most, out - first)
    for (let i = 0; i < count; i++) {
      block.set(b.subarray((first + i) * rowBytes, (first + i + 1) * rowBytes), i * paddedBytes)
    }
    yield { offset: bOffset + first * paddedBytes, bytes: block.subarray(0, count * paddedBytes) }
  }
}

/**
 * What is added behind the adapter's B A x: B's own bias, and the difference between the adapter's bias and the base's,
 * which the kernel that follows will add.
 */
function biasOf({ scale, bias, loraBias }: LoraPart, out: number, base: Float32Array | null): Float32Array {
  const sum = new Float32Array(out)
  if (bias) for (const [o, value] of widened(bias).entries()) sum[o]! += value - (base?.[o] ?? 0)
  if (loraBias) for (const [o, value] of widened(loraBias).entries()) sum[o]! += scale * value
  return sum
}

function widen(tensor: LoraTensor, dtype: FloatDtype): Uint8Array {
  return tensor.dtype === dtype ? tensor.bytes : new Uint8Array(toFloat32(tensor.bytes, tensor.dtype).buffer)
}

function widened({ bytes, dtype }: LoraTensor | LoraVector): Float32Array {
  return toFloat32(bytes, dtype)
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array | Uint16Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** A typed array wants its start aligned; a file's tensors need not be. */
function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : bytes.slice()
}
