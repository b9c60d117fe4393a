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
import { AdapterRefusedError, shown, tensorRefusal } from './errors.ts'
import { firstNonFinite } from './finite.ts'
import type { ProjectionModule } from './modules.ts'
import type { LoraModule, LoraTensor, NormalAdapter } from './normal.ts'

export interface ReadAdapterOptions {
  /** Larger ranks are refused. Default: any. */
  readonly maxRank?: number
  /** Adapters whose tensors take more bytes are refused. Default: any. */
  readonly maxBytes?: number
  readonly signal?: AbortSignal
}

/** What a module will be, once its tensors are read. */
export interface ModulePlan {
  readonly module: ProjectionModule
  readonly rank: number
  /** Where the rank was said, for messages: `r of adapter_config.json`. */
  readonly rankSaidBy: string
  readonly scale: number
  /** [rank, in] */
  readonly a: TensorInfo
  /** [out, rank] */
  readonly b: TensorInfo
}

/** @throws AdapterRefusedError when the tensors do not fit the base, each other, or the rank that was said */
export function checkPlan(spec: ModelSpec, { module, rank, rankSaidBy, a, b }: ModulePlan): void {
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
export async function readPlans(plans: readonly ModulePlan[], options: ReadAdapterOptions): Promise<NormalAdapter> {
  checkLimits(plans, options)
  const { signal } = options
  // Modules that were fused in the file share their A.
  const read = new Map<TensorInfo, LoraTensor>()
  const once = async (tensor: TensorInfo): Promise<LoraTensor> => {
    if (signal?.aborted) throw abortReason(signal)
    const found = read.get(tensor) ?? (await readFinite(tensor, signal))
    read.set(tensor, found)
    return found
  }
  const modules: LoraModule[] = []
  for (const { module, rank, scale, a, b } of plans) {
    const { layer, projection } = module
    modules.push({ layer, projection, rank, scale, a: await once(a), b: await once(b) })
  }
  return {
    digest: await digestModules(modules),
    modules,
    maxRank: Math.max(...modules.map(({ rank }) => rank)),
    byteLength: modules.reduce((sum, { a, b }) => sum + a.bytes.byteLength + b.bytes.byteLength, 0),
  }
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
  const bytes = plans.reduce((sum, { a, b }) => sum + a.byteLength + b.byteLength, 0)
  if (maxBytes !== undefined && bytes > maxBytes) {
    const message = `The adapter's tensors take ${bytes} bytes, more than the ${maxBytes} that are allowed.`
    throw new AdapterRefusedError('adapter_too_large', plans[0]!.a.source.name, message)
  }
}

async function readFinite(tensor: TensorInfo, signal?: AbortSignal): Promise<LoraTensor> {
  const dtype = tensor.dtype as FloatDtype
  const [rows, columns] = tensor.shape as readonly [number, number]
  const bytes = await readTensor(tensor, signal)
  const bad = firstNonFinite(bytes, dtype)
  if (bad !== null) {
    const at = `[${Math.floor(bad / columns)}, ${bad % columns}]`
    throw tensorRefusal('adapter_not_finite', tensor.name, `Tensor ${shown(tensor.name)} is NaN or infinite at ${at}.`)
  }
  return { dtype, shape: [rows, columns], bytes }
}
