/** The bytes of a packed group, as packing.ts lays them out: what goes into a slab. What no tensor covers is zero. */
import { FLOAT_BYTES, toFloat32 } from '../weights/dtype.ts'
import { type MatrixPlace, putRows } from './matrixPlace.ts'
import type { LoraPart, LoraTensor, LoraVector } from './normal.ts'
import type { PackedGroup, PackedProjection } from './packing.ts'

/** Bytes and where they belong, counted from the start of the layout they are part of. */
export interface PackedPiece {
  /** A multiple of 4. */
  readonly offset: number
  readonly bytes: Uint8Array
}

/** About so many bytes are put in order before somebody else has a turn. */
const BLOCK_BYTES = 256 * 1024

/** The matrices of a group, each with its place. Projections that share their A have it once. */
export function* matricesOf(packed: PackedGroup): Generator<readonly [LoraTensor, MatrixPlace], void, undefined> {
  const { group, dtype, inputs, rankSum, aOffset, projections, ownRows } = packed
  const width = FLOAT_BYTES[dtype]
  const done = new Set<LoraTensor>()
  for (const projection of projections) {
    if (!projection || projection.module.rank === 0) continue
    const { module, column, paddedRank, bOffset } = projection
    if (!done.has(module.a)) {
      // A token's part of the embedding's A is a row.
      yield group === 'embedding'
        ? [module.a, { offset: aOffset + column * width, dtype, stride: rankSum, isTransposed: true }]
        : [module.a, { offset: aOffset + column * inputs * width, dtype, stride: inputs, isTransposed: false }]
    }
    done.add(module.a)
    yield [module.b, { offset: bOffset, dtype, stride: paddedRank, isTransposed: false }]
  }
  if (!ownRows) return
  const { rows, matrixOffset } = ownRows
  const { matrix } = rows
  yield [matrix, { offset: matrixOffset, dtype: matrix.dtype, stride: matrix.shape[1], isTransposed: false }]
}

/** What a group has besides its matrices, as the file says it: a row scale is the magnitude, a bias is not yet a difference. */
export function* vectorsOf(packed: PackedGroup): Generator<PackedPiece, void, undefined> {
  for (const projection of packed.projections) {
    const { module, rowScaleOffset } = projection ?? {}
    if (module?.magnitude && rowScaleOffset != null) {
      yield { offset: rowScaleOffset, bytes: bytesOf(widened(module.magnitude)) }
    }
    if (projection && projection.biasOffset !== null) yield biasPiece(projection, null)
  }
  for (const { own, offset } of packed.gains) yield { offset, bytes: bytesOf(widened(own.gain)) }
  const { rows, tokensOffset } = packed.ownRows ?? {}
  if (rows?.tokens && tokensOffset != null)
    yield { offset: tokensOffset, bytes: bytesOf(Uint32Array.from(rows.tokens)) }
}

/**
 * What the base makes of them, to be written over them.
 * @param baseBias of the whole group, where the base has one
 * @param rowScaleOf a row scale that is known already
 */
export function* baseVectorsOf(
  packed: PackedGroup,
  baseBias: Float32Array | null,
  rowScaleOf: (part: LoraPart) => Float32Array | undefined,
): Generator<PackedPiece, void, undefined> {
  for (const projection of packed.projections) {
    if (!projection) continue
    const { module, rowScaleOffset, biasOffset } = projection
    const rowScale = rowScaleOf(module)
    if (rowScale && rowScaleOffset !== null) yield { offset: rowScaleOffset, bytes: bytesOf(rowScale) }
    if (baseBias && module.bias && biasOffset !== null) yield biasPiece(projection, baseBias)
  }
}

/**
 * All of a group, for tensors that are made when they are asked for. Stops after every block, so that others have their turn.
 * @param target begins where the group's layout does, and is zero
 */
export function* packGroupInto(target: Uint8Array, packed: PackedGroup): Generator<void, void, undefined> {
  const start = packed.aOffset
  for (const [tensor, place] of matricesOf(packed)) {
    const { bytes, shape } = tensor
    const rowBytes = bytes.byteLength / shape[0]
    const rows = Math.max(1, Math.floor(BLOCK_BYTES / rowBytes))
    for (let first = 0; first < shape[0]; first += rows) {
      const block = bytes.subarray(first * rowBytes, (first + rows) * rowBytes)
      putRows(target, { ...place, offset: place.offset - start }, tensor, first, block)
      yield
    }
  }
  for (const { offset, bytes } of vectorsOf(packed)) target.set(bytes, offset - start)
}

/**
 * What is added behind the adapter's B A x: B's own bias, and the difference between the adapter's bias and the base's,
 * which the kernel that follows will add.
 */
function biasPiece({ module, out, outStart, biasOffset }: PackedProjection, base: Float32Array | null): PackedPiece {
  const { scale, bias, loraBias } = module
  const sum = new Float32Array(out)
  if (bias) for (const [o, value] of widened(bias).entries()) sum[o]! += value - (base?.[outStart + o] ?? 0)
  if (loraBias) for (const [o, value] of widened(loraBias).entries()) sum[o]! += scale * value
  return { offset: biasOffset!, bytes: bytesOf(sum) }
}

function widened({ bytes, dtype }: LoraVector): Float32Array {
  return toFloat32(bytes, dtype)
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
