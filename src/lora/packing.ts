/**
 * How an adapter lies in a slab. Per layer and group: the A matrices of its projections stacked to [rankSum, in], then
 * each B as [out, rank], all in one element type, each rank rounded up to RANK_STEP with zero rows and columns (adding
 * zero changes no sum); behind each B the projection's row scale and bias, where it has them, as f32. The kernels that
 * include `shaders/lora_table.wgsl` find the pieces through a table entry.
 */
import {
  GROUP_PROJECTIONS,
  GROUPS,
  type Group,
  type ModelSpec,
  type Projection,
  projectionShape,
} from '../model/spec.ts'
import { FLOAT_BYTES, type FloatDtype, toFloat32 } from '../weights/dtype.ts'
import type { LoraModule, LoraTensor, LoraVector, NormalAdapter } from './normal.ts'

/** Words of one table entry; `shaders/lora_table.wgsl` reads the same. */
export const ENTRY_WORDS = 32
const PROJECTION_WORDS = 8
const DTYPE_CODES: Readonly<Record<FloatDtype, number>> = { F32: 0, F16: 1, BF16: 2 }

/** Ranks are stored in multiples of this: kernels read four at a time. */
const RANK_STEP = 4
/** Matrices begin at multiples of 16 bytes. */
const ALIGN_BYTES = 16

/** One projection of a packed group. */
export interface PackedProjection {
  readonly module: LoraModule
  readonly paddedRank: number
  /** Column of `down` at which its part begins. */
  readonly column: number
  readonly bOffset: number
  /** DoRA's row scale; holds the magnitude until the norms are known. null: none. */
  readonly rowScaleOffset: number | null
  readonly biasOffset: number | null
}

/** Where one layer's group lies, in bytes from the start of the layout it is part of. */
export interface PackedGroup {
  readonly layer: number
  readonly group: Group
  readonly dtype: FloatDtype
  readonly rankSum: number
  readonly inputs: number
  readonly aOffset: number
  readonly byteLength: number
  readonly projections: readonly (PackedProjection | null)[]
}

/** The groups of an adapter that lie in one slab, one after the other. */
export interface SlabLayout {
  readonly groups: readonly PackedGroup[]
  readonly byteLength: number
}

/** Lays out the modules of layers `from` (included) to `to` (excluded). */
export function layoutOf(adapter: NormalAdapter, spec: ModelSpec, from: number, to: number): SlabLayout {
  const groups: PackedGroup[] = []
  let end = 0
  for (let layer = from; layer < to; layer++) {
    const modules = adapter.modules.filter((module) => module.layer === layer)
    for (const group of GROUPS) {
      const packed = packGroup(spec, layer, group, modules, end)
      if (!packed) continue
      groups.push(packed)
      end += packed.byteLength
    }
  }
  return { groups, byteLength: end }
}

function packGroup(
  spec: ModelSpec,
  layer: number,
  group: Group,
  modules: readonly LoraModule[],
  start: number,
): PackedGroup | null {
  const members = GROUP_PROJECTIONS[group].map(
    (projection) => modules.find((module) => module.projection === projection) ?? null,
  )
  const present = members.filter((module) => module !== null)
  if (!present.length) return null
  const dtypes = new Set(present.flatMap(({ rank, a, b }) => (rank ? [a.dtype, b.dtype] : [])))
  const dtype: FloatDtype = dtypes.size === 1 ? [...dtypes][0]! : 'F32'
  const inputs = projectionShape(spec, present[0]!.projection).in
  const rankSum = present.reduce((sum, { rank }) => sum + padRank(rank), 0)
  let end = align(start + rankSum * inputs * FLOAT_BYTES[dtype])
  let column = 0
  const projections = members.map((module) => {
    if (!module) return null
    const paddedRank = padRank(module.rank)
    const out = outputs(spec, module.projection)
    const take = (byteLength: number): number => {
      const offset = end
      end = align(end + byteLength)
      return offset
    }
    const packed = {
      module,
      paddedRank,
      column,
      bOffset: take(out * paddedRank * FLOAT_BYTES[dtype]),
      rowScaleOffset: module.magnitude ? take(out * 4) : null,
      biasOffset: module.bias || module.loraBias ? take(out * 4) : null,
    }
    column += paddedRank
    return packed
  })
  return { layer, group, dtype, rankSum, inputs, aOffset: start, byteLength: end - start, projections }
}

/**
 * The bytes of one packed group, as they go into the slab at its aOffset.
 * @param baseBias of the whole group, where the base has one
 */
export function packBytes(
  spec: ModelSpec,
  packed: PackedGroup,
  baseBias: Float32Array | null = null,
): Uint8Array<ArrayBuffer> {
  const { dtype, inputs, aOffset } = packed
  const width = FLOAT_BYTES[dtype]
  const bytes = new Uint8Array(packed.byteLength)
  const outStarts = projectionStarts(spec, packed.group)
  for (const [i, projection] of packed.projections.entries()) {
    if (!projection) continue
    const { module, paddedRank, column, bOffset, rowScaleOffset, biasOffset } = projection
    const floats = (offset: number) =>
      new Float32Array(bytes.buffer, offset - aOffset, outputs(spec, module.projection))
    if (rowScaleOffset !== null) floats(rowScaleOffset).set(widened(module.magnitude!))
    if (biasOffset !== null) addBias(floats(biasOffset), module, baseBias?.subarray(outStarts[i]!) ?? null)
    bytes.set(widen(module.a, dtype), column * inputs * width)
    const b = widen(module.b, dtype)
    const rowBytes = module.rank * width
    for (let row = 0; row < outputs(spec, module.projection); row++) {
      bytes.set(b.subarray(row * rowBytes, (row + 1) * rowBytes), bOffset - aOffset + row * paddedRank * width)
    }
  }
  return bytes
}

/** Whether lora_scale_bias has anything to do. */
export function hasScaleOrBias({ rowScaleOffset, biasOffset }: PackedProjection): boolean {
  return rowScaleOffset !== null || biasOffset !== null
}

/** Writes the table entry of a packed group whose layout begins at `slabOffset` bytes. `words` is one entry. */
export function writeEntry(words: Uint32Array, packed: PackedGroup, slabOffset: number): void {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length)
  words.fill(0)
  words[0] = (slabOffset + packed.aOffset) / 4
  words[1] = packed.rankSum
  words[2] = DTYPE_CODES[packed.dtype]
  packed.projections.forEach((projection, index) => {
    if (!projection) return
    const at = 4 + index * PROJECTION_WORDS
    const { bOffset, rowScaleOffset, biasOffset } = projection
    words[at] = (slabOffset + bOffset) / 4
    words[at + 1] = projection.paddedRank
    floats[at + 2] = projection.module.scale
    words[at + 3] = projection.column
    words[at + 4] = rowScaleOffset === null ? 0 : (slabOffset + rowScaleOffset) / 4
    words[at + 5] = biasOffset === null ? 0 : (slabOffset + biasOffset) / 4
  })
}

/**
 * What is added behind the adapter's B A x: B's own bias, and the difference between the adapter's bias and the base's,
 * which the kernel that follows will add.
 */
function addBias(sum: Float32Array, { scale, bias, loraBias }: LoraModule, base: Float32Array | null): void {
  if (bias) for (const [o, value] of widened(bias).entries()) sum[o]! += value - (base?.[o] ?? 0)
  if (loraBias) for (const [o, value] of widened(loraBias).entries()) sum[o]! += scale * value
}

/** The first output of each projection within its group. */
function projectionStarts(spec: ModelSpec, group: Group): readonly number[] {
  let end = 0
  return GROUP_PROJECTIONS[group].map((projection) => {
    const start = end
    end += outputs(spec, projection)
    return start
  })
}

function widen(tensor: LoraTensor, dtype: FloatDtype): Uint8Array {
  return tensor.dtype === dtype ? tensor.bytes : new Uint8Array(toFloat32(tensor.bytes, tensor.dtype).buffer)
}

function widened({ bytes, dtype }: LoraTensor | LoraVector): Float32Array {
  return toFloat32(bytes, dtype)
}

function outputs(spec: ModelSpec, projection: Projection): number {
  return projectionShape(spec, projection).out
}

function padRank(rank: number): number {
  return Math.ceil(rank / RANK_STEP) * RANK_STEP
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGN_BYTES) * ALIGN_BYTES
}
