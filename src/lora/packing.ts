/**
 * How an adapter lies in a slab. Per layer and group: the A matrices of its projections stacked to [rankSum, in], then
 * each B as [out, rank], all in one element type, each rank rounded up to RANK_STEP with zero rows and columns (adding
 * zero changes no sum). `shaders/lora_shrink.wgsl` and `lora_expand.wgsl` find the pieces through a table entry.
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
import type { LoraModule, LoraTensor, NormalAdapter } from './normal.ts'

/** Words of one table entry; `shaders/lora_table.wgsl` reads the same. */
export const ENTRY_WORDS = 32
const PROJECTION_WORDS = 8
const DTYPE_CODES: Readonly<Record<FloatDtype, number>> = { F32: 0, F16: 1, BF16: 2 }

/** Ranks are stored in multiples of this: kernels read four at a time. */
const RANK_STEP = 4
/** Matrices begin at multiples of 16 bytes. */
const ALIGN_BYTES = 16

/** One projection of a packed group. */
interface PackedProjection {
  readonly module: LoraModule
  readonly paddedRank: number
  /** Column of `down` at which its part begins. */
  readonly column: number
  readonly bOffset: number
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
  const dtypes = new Set(present.flatMap(({ a, b }) => [a.dtype, b.dtype]))
  const dtype: FloatDtype = dtypes.size === 1 ? [...dtypes][0]! : 'F32'
  const inputs = projectionShape(spec, present[0]!.projection).in
  const rankSum = present.reduce((sum, { rank }) => sum + padRank(rank), 0)
  let end = align(start + rankSum * inputs * FLOAT_BYTES[dtype])
  let column = 0
  const projections = members.map((module) => {
    if (!module) return null
    const paddedRank = padRank(module.rank)
    const packed = { module, paddedRank, column, bOffset: end }
    end = align(end + outputs(spec, module.projection) * paddedRank * FLOAT_BYTES[dtype])
    column += paddedRank
    return packed
  })
  return { layer, group, dtype, rankSum, inputs, aOffset: start, byteLength: end - start, projections }
}

/** The bytes of one packed group, as they go into the slab at its aOffset. */
export function packBytes(spec: ModelSpec, packed: PackedGroup): Uint8Array<ArrayBuffer> {
  const { dtype, inputs, aOffset } = packed
  const width = FLOAT_BYTES[dtype]
  const bytes = new Uint8Array(packed.byteLength)
  for (const projection of packed.projections) {
    if (!projection) continue
    const { module, paddedRank, column, bOffset } = projection
    bytes.set(widen(module.a, dtype), column * inputs * width)
    const b = widen(module.b, dtype)
    const rowBytes = module.rank * width
    for (let row = 0; row < outputs(spec, module.projection); row++) {
      bytes.set(b.subarray(row * rowBytes, (row + 1) * rowBytes), bOffset - aOffset + row * paddedRank * width)
    }
  }
  return bytes
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
    words[at] = (slabOffset + projection.bOffset) / 4
    words[at + 1] = projection.paddedRank
    floats[at + 2] = projection.module.scale
    words[at + 3] = projection.column
  })
}

function widen(tensor: LoraTensor, dtype: FloatDtype): Uint8Array {
  return tensor.dtype === dtype ? tensor.bytes : new Uint8Array(toFloat32(tensor.bytes, tensor.dtype).buffer)
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
