/**
 * The last step of every format: the tensors of a checked plan, read, searched for NaN, and put into the normal form.
 */
import { abortReason } from '../errors.ts'
import type { ModelSpec } from '../model/spec.ts'
import { FLOAT_BYTES, type FloatDtype } from '../weights/dtype.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import { TensorRuns } from '../weights/tensorRuns.ts'
import { type BaseRows, compareWithBase } from './baseRows.ts'
import { digestAdapter } from './digest.ts'
import { type AcceptableRefusal, AdapterRefusedError, shown, tensorRefusal } from './errors.ts'
import { firstNonFinite } from './finite.ts'
import { type AdapterPlan, type ModulePlan, type RowsPlan, tensorsOf, weightShape } from './modulePlan.ts'
import type {
  LoraModule,
  LoraPart,
  LoraTensor,
  LoraVector,
  NormalAdapter,
  OwnNorm,
  OwnRows,
  VocabularyChange,
} from './normal.ts'
import { withoutBaseRows } from './savedEmbeddings.ts'

export interface ReadAdapterOptions {
  /** Larger ranks are refused. Default: any. */
  readonly maxRank?: number
  /** Adapters whose tensors take more bytes are refused. Default: any. */
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
): Promise<NormalAdapter> {
  const plan = await withoutBaseRows(planned, options.baseRows, options.signal)
  checkLimits(plan, options)
  const { baseWeights = [] } = plan
  if (options.baseRows && !options.isKnown && !trustsBase(options)) {
    await compareWithBase(baseWeights, options.baseRows, options.signal)
  }
  const reader = new TensorReader(plan, options)
  const modules: LoraModule[] = []
  const changes: { embedding?: Mutable<VocabularyChange>; head?: Mutable<VocabularyChange> } = {}
  for (const each of plan.modules) {
    const { module } = each
    const part = await readPart(spec, each, reader)
    if (module.kind === 'projection') modules.push({ layer: module.layer, projection: module.projection, ...part })
    else changes[module.kind] = { lora: part }
  }
  for (const each of plan.rows ?? []) {
    changes[each.module.kind] = { ...changes[each.module.kind], rows: await readRows(each, reader) }
  }
  const norms: OwnNorm[] = []
  for (const { module, gain } of plan.norms ?? []) {
    norms.push({ layer: module.layer, norm: module.norm, gain: await reader.vector(gain) })
  }
  const { layers, invocation } = plan
  const parts = {
    ...(layers && { layers }),
    modules,
    ...(norms.length > 0 && { norms }),
    ...changes,
    ...(invocation && { invocation }),
  }
  return {
    digest: await digestAdapter(parts),
    ...parts,
    maxRank: Math.max(0, ...plan.modules.map(({ rank }) => rank)),
    byteLength: bytesOf(plan),
  }
}

/** Whether the caller says that the base is what the adapter takes it for, or gives nothing to compare with. */
export function trustsBase({ baseRows, accept = [] }: ReadAdapterOptions): boolean {
  return !baseRows || accept.includes('adapter_changed_base')
}

async function readPart(
  spec: ModelSpec,
  { module, rank, scale, lora, vectors = {} }: ModulePlan,
  reader: TensorReader,
): Promise<LoraPart> {
  const shape = weightShape(spec, module)
  const { magnitude, bias, loraBias } = vectors
  return {
    rank,
    scale,
    a: lora ? await reader.matrix(lora.a) : nothing([0, shape.in]),
    b: lora ? await reader.matrix(lora.b) : nothing([shape.out, 0]),
    ...(magnitude && { magnitude: await reader.vector(magnitude) }),
    ...(bias && { bias: await reader.vector(bias) }),
    ...(loraBias && { loraBias: await reader.vector(loraBias) }),
  }
}

/** In ascending order of the tokens. */
async function readRows({ tokens, matrix: tensor }: RowsPlan, reader: TensorReader): Promise<OwnRows> {
  if (tokens === null) return { tokens, matrix: await reader.matrix(tensor) }
  const order = [...tokens.keys()].sort((one, other) => tokens[one]! - tokens[other]!)
  return { tokens: order.map((i) => tokens[i]!), matrix: await reader.rows(tensor, order) }
}

/** Puts row `order[i]` in place i, with one row beside the matrix. */
function permuteRows(bytes: Uint8Array, rowBytes: number, order: readonly number[]): void {
  const row = (i: number): Uint8Array => bytes.subarray(i * rowBytes, (i + 1) * rowBytes)
  const isDone = new Uint8Array(order.length)
  for (let first = 0; first < order.length; first++) {
    const kept = row(first).slice()
    for (let to = first; isDone[to] === 0; ) {
      isDone[to] = 1
      const from = order[to]!
      row(to).set(from === first ? kept : row(from))
      to = from
    }
  }
}

class TensorReader {
  readonly #signal: AbortSignal | undefined
  readonly #isKnown: boolean
  readonly #runs: TensorRuns
  /** Modules that were fused in the file share their A; tied modules share rows. */
  readonly #read = new Map<TensorInfo, LoraTensor | LoraVector>()

  constructor(plan: AdapterPlan, { signal, isKnown = false }: ReadAdapterOptions) {
    this.#runs = new TensorRuns(tensorsOf(plan))
    this.#signal = signal
    this.#isKnown = isKnown
  }

  async matrix(tensor: TensorInfo): Promise<LoraTensor> {
    return (await this.#once(tensor)) as LoraTensor
  }

  /** The matrix with its rows in this order; the same for whoever reads it again, as tied modules do. */
  async rows(tensor: TensorInfo, order: readonly number[]): Promise<LoraTensor> {
    const isFirst = !this.#read.has(tensor)
    const matrix = await this.matrix(tensor)
    if (isFirst) permuteRows(matrix.bytes, matrix.shape[1] * FLOAT_BYTES[matrix.dtype], order)
    return matrix
  }

  async vector(tensor: TensorInfo): Promise<LoraVector> {
    return (await this.#once(tensor)) as LoraVector
  }

  async #once(tensor: TensorInfo): Promise<LoraTensor | LoraVector> {
    if (this.#signal?.aborted) throw abortReason(this.#signal)
    const found = this.#read.get(tensor) ?? (await this.#tensor(tensor))
    this.#read.set(tensor, found)
    return found
  }

  async #tensor(tensor: TensorInfo): Promise<LoraTensor | LoraVector> {
    const dtype = tensor.dtype as FloatDtype
    const bytes = await this.#runs.read(tensor, this.#signal)
    if (!this.#isKnown) checkFinite(tensor, bytes, dtype)
    // One dimension or two: the plan was checked for it.
    return { dtype, shape: tensor.shape as LoraTensor['shape'], bytes }
  }
}

/** @throws AdapterRefusedError */
function checkFinite(tensor: TensorInfo, bytes: Uint8Array, dtype: FloatDtype): void {
  const bad = firstNonFinite(bytes, dtype)
  if (bad === null) return
  const columns = tensor.shape[1]
  const at = columns === undefined ? `[${bad}]` : `[${Math.floor(bad / columns)}, ${bad % columns}]`
  throw tensorRefusal('adapter_not_finite', tensor.name, `Tensor ${shown(tensor.name)} is NaN or infinite at ${at}.`)
}

function nothing(shape: readonly [number, number]): LoraTensor {
  return { dtype: 'F32', shape, bytes: new Uint8Array(0) }
}

function bytesOf(plan: AdapterPlan): number {
  return [...new Set(tensorsOf(plan))].reduce((sum, { byteLength }) => sum + byteLength, 0)
}

function checkLimits(plan: AdapterPlan, { maxRank, maxBytes }: ReadAdapterOptions): void {
  const rank = Math.max(0, ...plan.modules.map((each) => each.rank))
  if (maxRank !== undefined && rank > maxRank) {
    const message = `LoRA rank ${rank} is greater than max_lora_rank ${maxRank}.`
    throw new AdapterRefusedError('adapter_rank_too_large', 'r', message)
  }
  const bytes = bytesOf(plan)
  if (maxBytes !== undefined && bytes > maxBytes) {
    const message = `The adapter's tensors take ${bytes} bytes, more than the ${maxBytes} that are allowed.`
    throw new AdapterRefusedError('adapter_too_large', tensorsOf(plan)[0]!.source.name, message)
  }
}
