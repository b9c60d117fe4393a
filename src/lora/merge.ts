/**
 * Folds one adapter into the base while the base is loaded: the checkpoint of W' = W + scale * B A, which whoever loads
 * weights reads like any other. Matrices are computed a block of rows at a time as they are read, in f32 out of the
 * weights as they are stored, and rounded once to the width they have in the file; biases and norms, which are f32 on the
 * GPU anyhow, are not rounded. Nothing of the base is kept in memory.
 */
import {
  GROUPS,
  groupModules,
  hasBias,
  type ModelSpec,
  type Projection,
  placeOfProjection,
  projectionShape,
} from '../model/spec.ts'
import { EMBEDDING, LM_HEAD } from '../model/tensorNames.ts'
import { changedRows, type RowChange } from '../weights/changedRows.ts'
import type { Checkpoint } from '../weights/checkpoint.ts'
import { type FloatDtype, toFloat32 } from '../weights/dtype.ts'
import type { Folder } from '../weights/folder.ts'
import { madeTensor } from '../weights/madeTensor.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import { bytesSource } from '../weights/source.ts'
import { readTensor } from '../weights/tensorData.ts'
import { checkpointRows } from './baseRows.ts'
import { type AcceptableRefusal, AdapterRefusedError } from './errors.ts'
import { embeddingRows, linearRows, replacedRows, rowsWithin } from './mergedRows.ts'
import { modulePath, normPath } from './modules.ts'
import type { LoraModule, LoraVector, NormalAdapter, OwnRows, VocabularyChange } from './normal.ts'
import type { HostAdapter } from './packing.ts'
import { readAdapter } from './readAdapter.ts'

/** A model that has not been loaded yet. */
export interface BaseModel {
  readonly spec: ModelSpec
  readonly checkpoint: Checkpoint
}

/** An adapter to fold into the base. */
export interface MergeWish {
  readonly name: string
  readonly folder: Folder
  /** Refusals that the caller knows better about. */
  readonly accept?: readonly AcceptableRefusal[]
}

/** The one that was. */
export interface MergedAdapter {
  readonly name: string
  /** Where it came from. */
  readonly root: string
  readonly digest: string
  /** What was ignored and why that changes nothing, in sentences. */
  readonly notes: readonly string[]
}

/**
 * Reads an adapter and folds it into `base`, whose checkpoint has to stay open for as long as the merged one is read.
 * @throws AdapterRefusedError, and the errors of the files' formats
 */
export async function readMerged(
  base: BaseModel,
  { name, folder, accept = [] }: MergeWish,
  signal?: AbortSignal,
): Promise<BaseModel & { readonly merged: MergedAdapter }> {
  const baseRows = checkpointRows(base.spec, base.checkpoint)
  const { adapter, notes } = await readAdapter(folder, base.spec, { accept, baseRows, ...(signal && { signal }) })
  const merged = { name, root: folder.name, digest: adapter.digest, notes }
  return { ...mergeIntoBase(base, name, adapter), merged }
}

/** Of what an adapter can have: why it cannot be folded into weights; null: it can. */
const PROBLEMS: Readonly<Record<keyof HostAdapter, string | null>> = {
  ...{ digest: null, modules: null, norms: null, embedding: null, head: null },
  ...{ maxRank: null, byteLength: null, image: null },
  invocation: 'has an invocation, before which the base answers',
  layers: 'has layers of its own (layer_replication)',
}

/** @throws AdapterRefusedError for an adapter that is more than other weights */
export function mergeIntoBase({ spec, checkpoint }: BaseModel, name: string, adapter: NormalAdapter): BaseModel {
  const problem = (Object.keys(adapter) as (keyof NormalAdapter)[]).map((field) => PROBLEMS[field]).find(Boolean)
  if (problem) throw unmergeable(name, problem)
  if (adapter.head?.lora?.loraBias) throw unmergeable(name, 'has a bias on lm_head, which the base has none of')
  const tensors = new Map(checkpoint.tensors)
  for (const module of adapter.modules) {
    if (module.rank === 0) continue
    const weight = `${modulePath(spec, module.layer, module.projection)}.weight`
    const { start } = placeOfProjection(spec, module.projection)
    const { in: columns, out } = projectionShape(spec, module.projection)
    change(tensors, weight, name, [rowsWithin(start, out, columns, linearRows(module))])
  }
  for (const { layer, norm, gain } of adapter.norms ?? []) {
    const weight = `${normPath(layer, norm)}.weight`
    tensors.set(weight, vectorTensor(weight, gain))
  }
  const bias = mergeBiases(tensors, spec, adapter.modules)
  const tiedEmbeddings = mergeVocabulary(tensors, spec, name, adapter)
  let byteLength = 0
  for (const tensor of tensors.values()) byteLength += tensor.byteLength
  return { spec: { ...spec, bias, tiedEmbeddings }, checkpoint: { ...checkpoint, tensors, byteLength } }
}

type Tensors = Map<string, TensorInfo>

function change(tensors: Tensors, weight: string, adapter: string, changes: readonly RowChange[]): void {
  const tensor = tensors.get(weight)!
  const changed = changedRows(tensor, async (values, first, signal) => {
    for (const each of changes) await each(values, first, signal)
    checkRange(values, tensor, adapter)
  })
  tensors.set(weight, changed)
}

/** From here on halves are infinite. */
const HALF_END = 65_520

/** @throws AdapterRefusedError for what rounding would make infinite, and for what is that already, or NaN */
function checkRange(values: Float32Array, { name, dtype }: TensorInfo, adapter: string): void {
  const end = (dtype as FloatDtype) === 'F16' ? HALF_END : Number.POSITIVE_INFINITY
  let at = 0
  while (at < values.length && Math.abs(values[at]!) < end) at++
  if (at === values.length) return
  const message = `With the lora adapter '${adapter}' merged into it ${name} has values beyond what ${dtype} holds.`
  throw new AdapterRefusedError('adapter_not_finite', name, message)
}

/** In the width of the adapter's file. */
function vectorTensor(name: string, { dtype, shape, bytes }: LoraVector): TensorInfo {
  return { name, dtype, shape, byteOffset: 0, byteLength: bytes.byteLength, source: bytesSource(name, bytes) }
}

const BIAS_OF: Readonly<Record<Projection, keyof ModelSpec['bias']>> = {
  ...{ q: 'qkv', k: 'qkv', v: 'qkv', o: 'o', gate: 'mlp', up: 'mlp', down: 'mlp' },
}

/** Gives the base the adapter's biases; where it had none, all projections that have theirs together get one. */
function mergeBiases(tensors: Tensors, spec: ModelSpec, modules: readonly LoraModule[]): ModelSpec['bias'] {
  const biased = modules.filter((module) => module.bias || module.loraBias)
  const has = (kind: keyof ModelSpec['bias']) =>
    spec.bias[kind] || biased.some(({ projection }) => BIAS_OF[projection] === kind)
  const bias = { qkv: has('qkv'), o: has('o'), mlp: has('mlp') }
  for (let layer = 0; layer < spec.numLayers; layer++) {
    for (const { path, projections } of GROUPS.flatMap((group) => groupModules(spec, group))) {
      const [first] = projections
      if (!bias[BIAS_OF[first!]]) continue
      const name = `model.layers.${layer}.${path}.bias`
      const before = hasBias(spec, first!) ? tensors.get(name)! : null
      const own = biased.filter((each) => each.layer === layer && projections.includes(each.projection))
      if (before && own.length === 0) continue
      const out = projections.reduce((sum, projection) => sum + projectionShape(spec, projection).out, 0)
      const parts = own.map((module) => ({ module, start: placeOfProjection(spec, module.projection).start }))
      tensors.set(
        name,
        madeTensor(name, [out], (signal) => biasWith(parts, before, out, signal)),
      )
    }
  }
  return bias
}

async function biasWith(
  parts: readonly { readonly module: LoraModule; readonly start: number }[],
  before: TensorInfo | null,
  out: number,
  signal?: AbortSignal,
): Promise<Float32Array<ArrayBuffer>> {
  const sum = new Float32Array(out)
  if (before) sum.set(toFloat32(await readTensor(before, signal), before.dtype as FloatDtype))
  for (const { module, start } of parts) {
    const { bias, loraBias, scale } = module
    if (bias) sum.set(toFloat32(bias.bytes, bias.dtype), start)
    if (!loraBias) continue
    for (const [o, added] of toFloat32(loraBias.bytes, loraBias.dtype).entries()) sum[start + o]! += scale * added
  }
  return sum
}

/** Returns whether embedding and output layer are still one matrix. */
function mergeVocabulary(
  tensors: Tensors,
  { tiedEmbeddings }: ModelSpec,
  name: string,
  { embedding, head }: NormalAdapter,
): boolean {
  const weight = tensors.get(EMBEDDING)!
  const isTied = tiedEmbeddings && isSame(embedding, head)
  if (tiedEmbeddings && !isTied) tensors.set(LM_HEAD, { ...weight, name: LM_HEAD })
  const changesOf = ({ rows, lora }: VocabularyChange, product: (part: NonNullable<typeof lora>) => RowChange) => [
    ...(rows ? [replacedRows(rows)] : []),
    ...(lora ? [product(lora)] : []),
  ]
  if (embedding)
    change(
      tensors,
      EMBEDDING,
      name,
      changesOf(embedding, (part) => embeddingRows(part, weight)),
    )
  if (head && !isTied) change(tensors, LM_HEAD, name, changesOf(head, linearRows))
  return isTied
}

/** Whether both sides get the same rows, as tokens trained on a tied base do, or nothing. */
function isSame(one?: VocabularyChange, other?: VocabularyChange): boolean {
  if (!one || !other) return one === other
  return !one.lora && !other.lora && sameRows(one.rows!, other.rows!)
}

function sameRows(one: OwnRows, other: OwnRows): boolean {
  const { bytes } = other.matrix
  if (String(one.tokens) !== String(other.tokens) || one.matrix.dtype !== other.matrix.dtype) return false
  return one.matrix.bytes.every((byte, i) => byte === bytes[i])
}

function unmergeable(name: string, problem: string): AdapterRefusedError {
  const message = `The lora adapter '${name}' ${problem}; it cannot be merged into the base. Load it beside the base instead.`
  return new AdapterRefusedError('adapter_unsupported', 'merge', message)
}
