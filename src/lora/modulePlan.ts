/**
 * The last step of every format: tensors that belong to modules, checked against the base before the first byte of them
 * is read, then read, searched for NaN, and put into the normal form.
 */
import { abortReason } from '../errors.ts'
import { type ModelSpec, projectionShape } from '../model/spec.ts'
import { FLOAT_BYTES, type FloatDtype } from '../weights/dtype.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import { readTensor } from '../weights/tensorData.ts'
import { digestModules } from './digest.ts'
import { type AcceptableRefusal, AdapterRefusedError, shown, tensorRefusal } from './errors.ts'
import { firstNonFinite } from './finite.ts'
import type { ProjectionModule } from './modules.ts'
import type { LoraModule, LoraTensor, LoraVector, NormalAdapter } from './normal.ts'

export interface ReadAdapterOptions {
  /** Larger ranks are refused. Default: any. */
  readonly maxRank?: number
  /** Adapters whose tensors take more bytes are refused. Default: any. */
  readonly maxBytes?: number
  /** Refusals that the caller knows better about: they become notes. */
  readonly accept?: readonly AcceptableRefusal[]
  readonly signal?: AbortSignal
}

/** What a module will be, once its tensors are read. */
export interface ModulePlan {
  readonly module: ProjectionModule
  readonly rank: number
  /** Where the rank was said, for messages: `r of adapter_config.json`. */
  readonly rankSaidBy: string
  readonly scale: number
  /** [rank, in] and [out, rank]; null where the adapter only brings a bias (the rank is 0). */
  readonly lora: { readonly a: TensorInfo; readonly b: TensorInfo } | null
  /** [out] each. */
  readonly vectors?: ModuleVectors<TensorInfo>
}

/** The vectors that some kinds of adapters have beside A and B. */
interface ModuleVectors<T> {
  readonly magnitude?: T | undefined
  readonly bias?: T | undefined
  readonly loraBias?: T | undefined
}

/** @throws AdapterRefusedError when the tensors do not fit the base, each other, or the rank that was said */
export function checkPlan(spec: ModelSpec, plan: ModulePlan): void {
  const { out } = projectionShape(spec, plan.module.projection)
  for (const vector of vectorsOf(plan)) {
    checkDtype(vector)
    if (vector.shape.length !== 1 || vector.shape[0] !== out) throw wrongShape(vector, `[${out}]`)
  }
  if (plan.lora) checkLora(spec, plan, plan.lora)
}

function checkLora(
  spec: ModelSpec,
  { module, rank, rankSaidBy }: ModulePlan,
  { a, b }: NonNullable<ModulePlan['lora']>,
): void {
  const base = projectionShape(spec, module.projection)
  for (const tensor of [a, b]) checkDtype(tensor)
  if (a.shape.length !== 2 || a.shape[1] !== base.in) throw wrongShape(a, `[${rank}, ${base.in}]`)
  if (b.shape.length !== 2 || b.shape[0] !== base.out) throw wrongShape(b, `[${base.out}, ${rank}]`)
  if (b.shape[1] !== a.shape[0]) {
    const message = `${module.path}: A has ${a.shape[0]} rows, B has ${b.shape[1]} columns; both are the rank.`
    throw tensorRefusal('adapter_rank_mismatch', b.name, message)
  }
  if (a.shape[0] !== rank) {
    const message = `Tensor ${shown(a.name)} has rank ${a.shape[0]}, but ${rankSaidBy} gives ${module.path} rank ${rank}.`
    throw tensorRefusal('adapter_rank_mismatch', a.name, message)
  }
}

/** The error for a shape that only another base can want. */
export function wrongShape(tensor: TensorInfo, wanted: string): AdapterRefusedError {
  const message = `Tensor ${shown(tensor.name)} is [${tensor.shape.join(', ')}], this base needs ${wanted}. Was the adapter made for another base?`
  return tensorRefusal('adapter_shape_mismatch', tensor.name, message)
}

/**
 * Reads what checked plans describe; `plans` are in the order of the normal form and not empty.
 * @throws AdapterRefusedError for NaN, infinity, or more than `options` allow; SourceError
 */
export async function readPlans(
  spec: ModelSpec,
  plans: readonly ModulePlan[],
  options: ReadAdapterOptions,
): Promise<NormalAdapter> {
  checkLimits(plans, options)
  const { signal } = options
  // Modules that were fused in the file share their A.
  const read = new Map<TensorInfo, LoraTensor & LoraVector>()
  const once = async (tensor: TensorInfo): Promise<LoraTensor & LoraVector> => {
    if (signal?.aborted) throw abortReason(signal)
    const found = read.get(tensor) ?? (await readFinite(tensor, signal))
    read.set(tensor, found)
    return found
  }
  const modules: LoraModule[] = []
  for (const { module, rank, scale, lora, vectors = {} } of plans) {
    const { layer, projection } = module
    const shape = projectionShape(spec, projection)
    const { magnitude, bias, loraBias } = vectors
    modules.push({
      layer,
      projection,
      rank,
      scale,
      a: lora ? await once(lora.a) : nothing([0, shape.in]),
      b: lora ? await once(lora.b) : nothing([shape.out, 0]),
      ...(magnitude && { magnitude: await once(magnitude) }),
      ...(bias && { bias: await once(bias) }),
      ...(loraBias && { loraBias: await once(loraBias) }),
    })
  }
  return {
    digest: await digestModules(modules),
    modules,
    maxRank: Math.max(...modules.map(({ rank }) => rank)),
    byteLength: plans.reduce((sum, plan) => sum + bytesOf(plan), 0),
  }
}

function nothing(shape: readonly [number, number]): LoraTensor {
  return { dtype: 'F32', shape, bytes: new Uint8Array(0) }
}

function vectorsOf({ vectors = {} }: ModulePlan): readonly TensorInfo[] {
  return Object.values(vectors).filter((vector) => vector !== undefined)
}

function bytesOf(plan: ModulePlan): number {
  const tensors = [...(plan.lora ? [plan.lora.a, plan.lora.b] : []), ...vectorsOf(plan)]
  return tensors.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

function checkDtype({ name, dtype }: TensorInfo): void {
  if (Object.hasOwn(FLOAT_BYTES, dtype)) return
  const message = `Tensor ${shown(name)} is ${dtype}; adapters are F32, F16 or BF16.`
  throw tensorRefusal('adapter_dtype_unsupported', name, message)
}

function checkLimits(plans: readonly ModulePlan[], { maxRank, maxBytes }: ReadAdapterOptions): void {
  const rank = Math.max(...plans.map((plan) => plan.rank))
  if (maxRank !== undefined && rank > maxRank) {
    const message = `LoRA rank ${rank} is greater than max_lora_rank ${maxRank}.`
    throw new AdapterRefusedError('adapter_rank_too_large', 'r', message)
  }
  const bytes = plans.reduce((sum, plan) => sum + bytesOf(plan), 0)
  if (maxBytes !== undefined && bytes > maxBytes) {
    const message = `The adapter's tensors take ${bytes} bytes, more than the ${maxBytes} that are allowed.`
    const [first] = plans.flatMap((plan) => [...(plan.lora ? [plan.lora.a] : []), ...vectorsOf(plan)])
    throw new AdapterRefusedError('adapter_too_large', first!.source.name, message)
  }
}

async function readFinite(tensor: TensorInfo, signal?: AbortSignal): Promise<LoraTensor & LoraVector> {
  const dtype = tensor.dtype as FloatDtype
  const bytes = await readTensor(tensor, signal)
  const bad = firstNonFinite(bytes, dtype)
  if (bad !== null) {
    const columns = tensor.shape[1]
    const at = columns === undefined ? `[${bad}]` : `[${Math.floor(bad / columns)}, ${bad % columns}]`
    throw tensorRefusal('adapter_not_finite', tensor.name, `Tensor ${shown(tensor.name)} is NaN or infinite at ${at}.`)
  }
  // One dimension or two: checkPlan() knows which tensor has which.
  return { dtype, shape: tensor.shape as never, bytes }
}
