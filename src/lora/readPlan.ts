/**
 * The last step of every format: the tensors of a checked plan, read, searched for NaN, and put where they will lie in a slab
 * (adapterImage.ts), from where the normal form has them.
 */
import { abortReason } from '../errors.ts'
import type { ModelSpec } from '../model/spec.ts'
import type { FloatDtype } from '../weights/dtype.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import { readTensors } from '../weights/tensorRuns.ts'
import { ImageMaker } from './adapterImage.ts'
import { type BaseRows, compareWithBase } from './baseRows.ts'
import { digestAdapter } from './digest.ts'
import { type AcceptableRefusal, AdapterRefusedError, shown, tensorRefusal } from './errors.ts'
import { firstNonFinite } from './finite.ts'
import type { MatrixForm } from './matrixPlace.ts'
import { type AdapterPlan, type ModulePlan, type RowsPlan, tensorsOf, weightShape } from './modulePlan.ts'
import type {
  LoraModule,
  LoraPart,
  LoraTensor,
  LoraVector,
  NormalAdapter,
  OwnRows,
  VocabularyChange,
} from './normal.ts'
import { type AdapterParts, type HostAdapter, layoutOf } from './packing.ts'
import { withoutBaseRows } from './savedEmbeddings.ts'

export interface ReadAdapterOptions {
  /** Larger ranks are refused. Default: any. */
  readonly maxRank?: number
  /** Adapters that take more bytes in host memory are refused. Default: any. */
  readonly maxBytes?: number
  /** Refusals that the caller knows better about: they become notes. */
  readonly accept?: readonly AcceptableRefusal[]
  /** The base's embedding and output layer, to compare with what an adapter says they are. Default: not compared. */
  readonly baseRows?: BaseRows
  /**
   * The caller knows the digest that it must have, so that its weights need not be searched for NaN, nor what came along with
   * them be compared. What was left out for being the base's own is left out again only where `baseRows` say so.
   */
  readonly isKnown?: boolean
  readonly signal?: AbortSignal
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * Reads what a checked plan describes, which is not empty.
 * @throws AdapterRefusedError for NaN, infinity, more than `options` allow, or another base; SourceError
 */
export async function readPlan(
  spec: ModelSpec,
  planned: AdapterPlan,
  options: ReadAdapterOptions,
): Promise<HostAdapter> {
  const { baseRows, signal, isKnown = false } = options
  const plan = await withoutBaseRows(planned, baseRows, signal)
  checkRank(plan, options)
  const { baseWeights = [] } = plan
  if (baseRows && !isKnown && !trustsBase(options)) await compareWithBase(baseWeights, baseRows, signal)
  const maker = new ImageMaker<TensorInfo>()
  const parts = partsOf(spec, plan, maker)
  const layout = layoutOf(parts, spec)
  checkBytes(plan, maker.hostBytesOf(layout), options)
  const image = maker.begin(layout)
  for await (const { tensor, firstRow, bytes } of readTensors(tensorsOf(plan), signal)) {
    if (signal?.aborted) throw abortReason(signal)
    if (!isKnown) checkFinite(tensor, firstRow, bytes)
    maker.put(tensor, firstRow, bytes)
  }
  maker.end(image)
  return {
    digest: await digestAdapter(parts),
    ...parts,
    maxRank: Math.max(0, ...plan.modules.map(({ rank }) => rank)),
    byteLength: bytesOf(plan),
    image,
  }
}

/** The normal form of a plan, with tensors whose bytes have yet to come. */
function partsOf(spec: ModelSpec, plan: AdapterPlan, maker: ImageMaker<TensorInfo>): AdapterParts & Invocation {
  const modules: LoraModule[] = []
  const changes: { embedding?: Mutable<VocabularyChange>; head?: Mutable<VocabularyChange> } = {}
  for (const each of plan.modules) {
    const { module } = each
    const part = partOf(spec, each, maker)
    if (module.kind === 'projection') modules.push({ layer: module.layer, projection: module.projection, ...part })
    else changes[module.kind] = { lora: part }
  }
  for (const each of plan.rows ?? []) {
    changes[each.module.kind] = { ...changes[each.module.kind], rows: rowsOf(each, maker) }
  }
  const norms = (plan.norms ?? []).map(({ module: { layer, norm }, gain }) => {
    return { layer, norm, gain: maker.vector(gain, vectorForm(gain)) }
  })
  const { layers, invocation } = plan
  return {
    ...(layers && { layers }),
    modules,
    ...(norms.length > 0 && { norms }),
    ...changes,
    ...(invocation && { invocation }),
  }
}

type Invocation = Pick<NormalAdapter, 'invocation'>

/** Whether the caller says that the base is what the adapter takes it for, or gives nothing to compare with. */
export function trustsBase({ baseRows, accept = [] }: ReadAdapterOptions): boolean {
  return !baseRows || accept.includes('adapter_changed_base')
}

function partOf(
  spec: ModelSpec,
  { module, rank, scale, lora, vectors = {} }: ModulePlan,
  maker: ImageMaker<TensorInfo>,
): LoraPart {
  const shape = weightShape(spec, module)
  const { magnitude, bias, loraBias } = vectors
  const vector = (tensor: TensorInfo): LoraVector => maker.vector(tensor, vectorForm(tensor))
  return {
    rank,
    scale,
    a: lora ? maker.matrix(lora.a, matrixForm(lora.a)) : nothing([0, shape.in]),
    b: lora ? maker.matrix(lora.b, matrixForm(lora.b)) : nothing([shape.out, 0]),
    ...(magnitude && { magnitude: vector(magnitude) }),
    ...(bias && { bias: vector(bias) }),
    ...(loraBias && { loraBias: vector(loraBias) }),
  }
}

/** In ascending order of the tokens. */
function rowsOf({ tokens, matrix }: RowsPlan, maker: ImageMaker<TensorInfo>): OwnRows {
  if (tokens === null) return { tokens, matrix: maker.matrix(matrix, matrixForm(matrix)) }
  const order = [...tokens.keys()].sort((one, other) => tokens[one]! - tokens[other]!)
  return { tokens: order.map((i) => tokens[i]!), matrix: maker.matrix(matrix, matrixForm(matrix), order) }
}

/** Types and dimensions are what a checked plan says they are. */
function matrixForm({ dtype, shape }: TensorInfo): MatrixForm {
  return { dtype: dtype as FloatDtype, shape: shape as LoraTensor['shape'] }
}

function vectorForm({ dtype, shape }: TensorInfo): Pick<LoraVector, 'dtype' | 'shape'> {
  return { dtype: dtype as FloatDtype, shape: shape as LoraVector['shape'] }
}

/** @throws AdapterRefusedError */
function checkFinite({ name, dtype, shape }: TensorInfo, firstRow: number, rows: Uint8Array): void {
  const bad = firstNonFinite(rows, dtype as FloatDtype)
  if (bad === null) return
  const columns = shape[1]
  const at =
    columns === undefined ? `[${firstRow + bad}]` : `[${firstRow + Math.floor(bad / columns)}, ${bad % columns}]`
  throw tensorRefusal('adapter_not_finite', name, `Tensor ${shown(name)} is NaN or infinite at ${at}.`)
}

function nothing(shape: readonly [number, number]): LoraTensor {
  return { dtype: 'F32', shape, bytes: new Uint8Array(0) }
}

function bytesOf(plan: AdapterPlan): number {
  return [...new Set(tensorsOf(plan))].reduce((sum, { byteLength }) => sum + byteLength, 0)
}

function checkRank({ modules }: AdapterPlan, { maxRank }: ReadAdapterOptions): void {
  const rank = Math.max(0, ...modules.map((each) => each.rank))
  if (maxRank === undefined || rank <= maxRank) return
  const message = `LoRA rank ${rank} is greater than max_lora_rank ${maxRank}.`
  throw new AdapterRefusedError('adapter_rank_too_large', 'r', message)
}

function checkBytes(plan: AdapterPlan, bytes: number, { maxBytes }: ReadAdapterOptions): void {
  if (maxBytes === undefined || bytes <= maxBytes) return
  const message = `The adapter takes ${bytes} bytes in memory, more than the ${maxBytes} that are allowed.`
  throw new AdapterRefusedError('adapter_too_large', tensorsOf(plan)[0]!.source.name, message)
}
