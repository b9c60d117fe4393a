/**
 * Where an adapter lies in a slab. Per layer and group: the A matrices of its projections stacked to [rankSum, in] (one for
 * all that share it, as the parts of a fused module do), then each B as [out, rank], all in one element type, each rank rounded up to RANK_STEP with zero rows and columns (adding
 * zero changes no sum); behind each B the projection's row scale and bias, where it has them, as f32; then the norm gains
 * that stand in the group's entry. What is outside the layers follows as two more groups: the embedding, whose A is
 * transposed (a token's part of it is a row), and the output layer. The kernels that include `shaders/lora_table.wgsl`
 * find the pieces through a table entry; packedBytes.ts fills them.
 */
import {
  ENTRY_HEAD,
  entryWord,
  NORM_PLACES,
  PROJECTION_WORDS,
  slabLayer,
  type TableGroup,
} from '../model/adapterTable.ts'
import type { AdapterUse, GroupUse, VocabularyUse } from '../model/adapterUse.ts'
import { baseLayers } from '../model/layerList.ts'
import { GROUP_PROJECTIONS, GROUPS, type Group, groupShape, type ModelSpec, projectionShape } from '../model/spec.ts'
import { FLOAT_BYTES, type FloatDtype } from '../weights/dtype.ts'
import type { LoraModule, LoraPart, LoraTensor, NormalAdapter, OwnNorm, OwnRows } from './normal.ts'

const DTYPE_CODES: Readonly<Record<FloatDtype, number>> = { F32: 0, F16: 1, BF16: 2 }

/** Ranks are stored in multiples of this: kernels read four at a time. */
const RANK_STEP = 4
/** Matrices and vectors begin at multiples of 16 bytes. */
const ALIGN_BYTES = 16

/** Words of an entry that only the embedding and the output layer have. */
const ROWS_DTYPE_WORD = 3
const ROWS_WORD = 29

/** One projection of a packed group. */
export interface PackedProjection {
  readonly module: LoraPart
  readonly out: number
  /** Its first output within the group. */
  readonly outStart: number
  readonly paddedRank: number
  /** Column of `down` at which its part begins. */
  readonly column: number
  readonly bOffset: number
  /** DoRA's row scale; holds the magnitude until the norms are known. null: none. */
  readonly rowScaleOffset: number | null
  readonly biasOffset: number | null
}

/** Rows of the embedding or the output layer: the matrix, then their tokens unless they are all. */
export interface PackedRows {
  readonly rows: OwnRows
  readonly matrixOffset: number
  readonly tokensOffset: number | null
}

/** Where one layer's group lies, in bytes from the start of the layout it is part of. */
export interface PackedGroup {
  /** As the adapter counts them; of no account for what is outside. */
  readonly layer: number
  /** The base's layer that stands there. */
  readonly baseLayer: number
  readonly group: TableGroup
  readonly dtype: FloatDtype
  readonly rankSum: number
  /** Elements of a row of A; for the embedding the number of rows. */
  readonly inputs: number
  readonly aOffset: number
  readonly byteLength: number
  readonly projections: readonly (PackedProjection | null)[]
  readonly gains: readonly { readonly own: OwnNorm; readonly offset: number }[]
  readonly ownRows: PackedRows | null
}

/**
 * The groups of an adapter one after the other: all of them, or those of neighbouring layers, which lie in one slab. Its
 * `byteLength` bytes begin at `start`, from where on a place in it is counted that is 0 at the start of the whole layout.
 */
export interface PackedLayout {
  readonly groups: readonly PackedGroup[]
  readonly start: number
  readonly byteLength: number
}

/** The bytes of an adapter in the order and the widths of its slabs. */
export interface AdapterImage {
  readonly layout: PackedLayout
  /** All of the layout. Nobody writes to it once it is made. */
  readonly bytes: Uint8Array
  /** Of it, and of what is kept beside it. */
  readonly hostBytes: number
}

/** An adapter in host memory. */
export interface HostAdapter extends NormalAdapter {
  /** Where it was read from files: what its tensors are views of. Without it they are made when they are asked for. */
  readonly image?: AdapterImage
}

/** What of an adapter is laid out. */
export type AdapterParts = Pick<NormalAdapter, 'layers' | 'modules' | 'norms' | 'embedding' | 'head'>

/**
 * Lays out a whole adapter, layer by layer of the base; what is outside of the layers comes last. An adapter with more layers
 * than the base has the further ones with those whose buffers they share (layerList.ts).
 */
export function layoutOf(adapter: AdapterParts, spec: ModelSpec): PackedLayout {
  const groups: PackedGroup[] = []
  // No place is 0, for that means none.
  let end = ALIGN_BYTES
  for (const part of partsOf(adapter, spec)) {
    const { modules, gains, ownRows } = part
    if (!modules.some((module) => module) && gains.length === 0 && !ownRows) continue
    const packed = packGroup(part, end)
    groups.push(packed)
    end += packed.byteLength
  }
  return { groups, start: 0, byteLength: groups.length > 0 ? end : 0 }
}

/** What of a layout lies in layers `from` (included) to `to` (excluded) of the table. */
export function sectionOf(layout: PackedLayout, spec: ModelSpec, from: number, to: number): PackedLayout {
  const groups = layout.groups.filter(({ layer, group }) => {
    const home = slabLayer(spec, layer, group)
    return from <= home && home < to
  })
  const [first, last] = [groups[0], groups.at(-1)]
  if (!first || !last) return { groups, start: 0, byteLength: 0 }
  const start = first.aOffset - ALIGN_BYTES
  return { groups, start, byteLength: last.aOffset + last.byteLength - start }
}

/** Bytes on the GPU, before they are rounded up to pages. */
export function gpuBytesOf(adapter: HostAdapter, spec: ModelSpec): number {
  return (adapter.image?.layout ?? layoutOf(adapter, spec)).byteLength
}

/** A group before it is laid out. */
interface Part {
  readonly layer: number
  readonly baseLayer: number
  readonly group: TableGroup
  readonly inputs: number
  readonly modules: readonly (LoraPart | null)[]
  readonly outs: readonly number[]
  readonly gains: readonly OwnNorm[]
  readonly ownRows: OwnRows | null
}

function* partsOf(adapter: AdapterParts, spec: ModelSpec): Generator<Part> {
  const gainsOf = (layer: number | null, group: TableGroup): OwnNorm[] =>
    (adapter.norms ?? []).filter((own) => own.layer === layer && NORM_PLACES[own.norm].group === group)
  const { layers } = adapter.layers ?? baseLayers(spec)
  const shapes = GROUPS.map((group) => shapeOf(spec, group))
  const modulesOf: LoraModule[][] = layers.map(() => [])
  for (const module of adapter.modules) modulesOf[module.layer]!.push(module)
  const places = [...layers.entries()].sort(([one], [other]) => (one % spec.numLayers) - (other % spec.numLayers))
  for (const [layer, baseLayer] of places) {
    const own = modulesOf[layer]!
    for (const { group, projections, inputs, outs } of shapes) {
      const modules = projections.map((projection) => own.find((module) => module.projection === projection) ?? null)
      yield { layer, baseLayer, group, inputs, modules, outs, gains: gainsOf(layer, group), ownRows: null }
    }
  }
  const { vocabSize, hiddenSize } = spec
  const outer = { layer: 0, baseLayer: 0, gains: [] }
  const { embedding, head } = adapter
  const rows = (change: typeof embedding) => ({ modules: [change?.lora ?? null], ownRows: change?.rows ?? null })
  yield { ...outer, group: 'embedding', inputs: vocabSize, outs: [hiddenSize], ...rows(embedding) }
  yield { ...outer, group: 'head', inputs: hiddenSize, outs: [vocabSize], ...rows(head), gains: gainsOf(null, 'head') }
}

/** What is the same for a group in every layer. */
function shapeOf(spec: ModelSpec, group: Group) {
  const projections = GROUP_PROJECTIONS[group]
  return {
    group,
    projections,
    inputs: groupShape(spec, group).in,
    outs: projections.map((projection) => projectionShape(spec, projection).out),
  }
}

function packGroup(
  { layer, baseLayer, group, inputs, modules, outs, gains, ownRows }: Part,
  start: number,
): PackedGroup {
  const dtypes = new Set(modules.flatMap((module) => (module?.rank ? [module.a.dtype, module.b.dtype] : [])))
  const dtype: FloatDtype = dtypes.size === 1 ? [...dtypes][0]! : 'F32'
  const columns = columnsOf(modules)
  const rankSum = [...columns.values()].reduce((end, { column, width }) => Math.max(end, column + width), 0)
  let end = start
  const take = (byteLength: number): number => {
    const offset = end
    end = align(end + byteLength)
    return offset
  }
  const aOffset = take(rankSum * inputs * FLOAT_BYTES[dtype])
  let outEnd = 0
  const projections = modules.map((module, i): PackedProjection | null => {
    const out = outs[i]!
    outEnd += out
    if (!module) return null
    const paddedRank = padRank(module.rank)
    return {
      module,
      out,
      outStart: outEnd - out,
      paddedRank,
      column: columns.get(module.a)!.column,
      bOffset: take(out * paddedRank * FLOAT_BYTES[dtype]),
      rowScaleOffset: module.magnitude ? take(out * 4) : null,
      biasOffset: module.bias || module.loraBias ? take(out * 4) : null,
    }
  })
  const packedGains = gains.map((own) => ({ own, offset: take(own.gain.shape[0] * 4) }))
  const packedRows = ownRows && {
    rows: ownRows,
    matrixOffset: take(byteLengthOf(ownRows.matrix)),
    tokensOffset: ownRows.tokens && take(ownRows.tokens.length * 4),
  }
  return {
    layer,
    baseLayer,
    group,
    dtype,
    rankSum,
    inputs,
    aOffset,
    byteLength: end - start,
    projections,
    gains: packedGains,
    ownRows: packedRows,
  }
}

/** Where each A stands among those of its group, in columns of `down`. */
function columnsOf(modules: readonly (LoraPart | null)[]): ReadonlyMap<LoraTensor, { column: number; width: number }> {
  const columns = new Map<LoraTensor, { column: number; width: number }>()
  let end = 0
  for (const module of modules) {
    if (!module || columns.has(module.a)) continue
    const width = padRank(module.rank)
    columns.set(module.a, { column: end, width })
    end += width
  }
  return columns
}

/** Whether lora_scale_bias has anything to do. */
function hasScaleOrBias({ rowScaleOffset, biasOffset }: PackedProjection): boolean {
  return rowScaleOffset !== null || biasOffset !== null
}

/**
 * Writes the table entry of a packed group whose whole layout begins at `slabOffset` bytes. `words` are those of its slots. Answers
 * which of them hold places in the slab, and so change when the layout moves.
 */
export function writeEntry(
  words: Uint32Array,
  spec: ModelSpec,
  packed: PackedGroup,
  slabOffset: number,
): readonly number[] {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length)
  const entry = entryWord(spec, packed.layer, packed.group)
  const places: number[] = []
  const place = (word: number, offset: number | null): void => {
    if (offset === null) return
    words[word] = (slabOffset + offset) / 4
    places.push(word)
  }
  place(entry, packed.aOffset)
  words[entry + 1] = packed.rankSum
  words[entry + 2] = DTYPE_CODES[packed.dtype]
  packed.projections.forEach((projection, index) => {
    if (!projection) return
    const first = entry + ENTRY_HEAD + index * PROJECTION_WORDS
    place(first, projection.bOffset)
    words[first + 1] = projection.paddedRank
    floats[first + 2] = projection.module.scale
    words[first + 3] = projection.column
    place(first + 4, projection.rowScaleOffset)
    place(first + 5, projection.biasOffset)
  })
  for (const { own, offset } of packed.gains) place(entry + NORM_PLACES[own.norm].word, offset)
  if (!packed.ownRows) return places
  const { rows, matrixOffset, tokensOffset } = packed.ownRows
  words[entry + ROWS_DTYPE_WORD] = DTYPE_CODES[rows.matrix.dtype]
  place(entry + ROWS_WORD, matrixOffset)
  words[entry + ROWS_WORD + 1] = rows.matrix.shape[0]
  place(entry + ROWS_WORD + 2, tokensOffset)
  return places
}

function byteLengthOf({ dtype, shape: [rows, columns] }: LoraTensor): number {
  return rows * columns * FLOAT_BYTES[dtype]
}

function padRank(rank: number): number {
  return Math.ceil(rank / RANK_STEP) * RANK_STEP
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGN_BYTES) * ALIGN_BYTES
}

/** What an adapter does, over all its layers. */
export function useOf(adapter: HostAdapter, { groups: packed }: PackedLayout): AdapterUse {
  const useOfGroup = (group: TableGroup): VocabularyUse => {
    const mine = packed.filter((each) => each.group === group)
    return {
      rankSum: Math.max(0, ...mine.map((each) => each.rankSum)),
      scalesOrBiases: mine.some(({ projections }) => projections.some((one) => one && hasScaleOrBias(one))),
      ownRows: Math.max(0, ...mine.map(({ ownRows }) => ownRows?.rows.matrix.shape[0] ?? 0)),
    }
  }
  const groups = GROUPS.map((group): [Group, GroupUse] => [group, useOfGroup(group)])
  return {
    layers: adapter.layers ?? null,
    dtypes: new Set(packed.flatMap(({ rankSum, dtype }) => (rankSum > 0 ? [dtype] : []))),
    groups: Object.fromEntries(groups) as Record<Group, GroupUse>,
    norms: packed.some(({ gains }) => gains.length > 0),
    embedding: useOfGroup('embedding'),
    head: useOfGroup('head'),
  }
}
