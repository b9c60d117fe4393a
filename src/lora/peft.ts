/**
 * A PEFT folder into the normal form: exactly what PEFT would compute with it on this base, or a refusal that names the
 * field or tensor. Shapes, ranks and types are all checked against the base before the first weight is read.
 */
import { abortReason } from '../errors.ts'
import { type ModelSpec, projectionShape } from '../model/spec.ts'
import { ConfigError, readJsonIfPresent } from '../weights/config.ts'
import { FLOAT_BYTES, type FloatDtype } from '../weights/dtype.ts'
import { type Folder, openIfPresent } from '../weights/folder.ts'
import { readSafetensors, type TensorInfo } from '../weights/safetensors.ts'
import type { RandomAccess } from '../weights/source.ts'
import { readTensor } from '../weights/tensorData.ts'
import { readTorch } from '../weights/torch.ts'
import { digestModules } from './digest.ts'
import { AdapterRefusedError, shown } from './errors.ts'
import { firstNonFinite } from './finite.ts'
import { baseModules, type ProjectionModule, targetedProjections } from './modules.ts'
import type { LoraModule, LoraTensor, NormalAdapter } from './normal.ts'
import { CONFIG_FILE, type PeftConfig, parsePeftConfig, rankAndScale } from './peftConfig.ts'
import { assignTensors, type LoraTensors, refusal } from './peftTensors.ts'
import { DEFAULT_MATCH_STEPS, type MatchBudget } from './pythonRegex.ts'

export interface ReadAdapterOptions {
  /** Larger ranks are refused. Default: any. */
  readonly maxRank?: number
  /** Adapters whose tensors take more bytes are refused. Default: any. */
  readonly maxBytes?: number
  readonly signal?: AbortSignal
}

export interface PeftAdapter {
  readonly adapter: NormalAdapter
  readonly config: PeftConfig
  /** What was ignored and why that changes nothing, in sentences. */
  readonly notes: readonly string[]
}

type ReadTensors = (source: RandomAccess, signal?: AbortSignal) => Promise<ReadonlyMap<string, TensorInfo>>

export const WEIGHTS_FILE = 'adapter_model.safetensors'
/** Where PEFT and vLLM look, in their order. */
const WEIGHTS_FILES: readonly (readonly [file: string, read: ReadTensors])[] = [
  [WEIGHTS_FILE, async (source, signal) => (await readSafetensors(source, signal)).tensors],
  ['adapter_model.bin', readTorch],
  ['adapter_model.pt', readTorch],
]
/** Real ones have a few kilobytes; one that names every module of a large model, some hundred. */
const MAX_CONFIG_BYTES = 1024 * 1024

/** What a module will be, once its tensors are read. */
interface Plan {
  readonly module: ProjectionModule
  readonly rank: number
  readonly scale: number
  readonly a: TensorInfo
  readonly b: TensorInfo
}

/**
 * Reads the adapter in `folder` for a base of this shape. Nothing stays open.
 * @throws AdapterRefusedError (status 400) when it cannot be computed exactly as PEFT computes it; SafetensorsError,
 *   TorchFileError, PickleError or ZipError for a broken file; SourceError for one that cannot be read
 */
export async function readPeftAdapter(
  folder: Folder,
  spec: ModelSpec,
  options: ReadAdapterOptions = {},
): Promise<PeftAdapter> {
  const { signal } = options
  const config = await readConfig(folder, signal)
  const [source, readTensors] = await openWeights(folder, signal)
  try {
    const tensors = await readTensors(source, signal)
    if (tensors.size === 0) throw noTensors(folder)
    const notes = [...config.notes]
    const plans = planModules(spec, config, tensors, notes)
    if (plans.length === 0) throw noTensors(folder)
    checkLimits(plans, options)
    const modules: LoraModule[] = []
    for (const plan of plans) {
      if (signal?.aborted) throw abortReason(signal)
      modules.push(await readModule(plan, signal))
    }
    return { adapter: await normalAdapter(modules), config, notes }
  } finally {
    await source.close()
  }
}

async function readConfig(folder: Folder, signal?: AbortSignal): Promise<PeftConfig> {
  try {
    const options = { maxBytes: MAX_CONFIG_BYTES, ...(signal && { signal }) }
    const values = await readJsonIfPresent(folder, CONFIG_FILE, options)
    if (values) return parsePeftConfig(values)
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause
    throw new AdapterRefusedError('adapter_config_invalid', cause.param, cause.message, { cause })
  }
  const message = `Can't find '${CONFIG_FILE}' at '${folder.name}'. An adapter is a folder as PEFT saves it.`
  throw new AdapterRefusedError('adapter_config_missing', CONFIG_FILE, message)
}

async function openWeights(folder: Folder, signal?: AbortSignal): Promise<readonly [RandomAccess, ReadTensors]> {
  for (const [file, read] of WEIGHTS_FILES) {
    const source = await openIfPresent(folder, file, signal)
    if (source) return [source, read]
  }
  throw noTensors(folder)
}

function noTensors(folder: Folder): AdapterRefusedError {
  return new AdapterRefusedError('adapter_weights_missing', WEIGHTS_FILE, `${folder.name} doesn't contain tensors`)
}

/** Which module gets which tensors, with everything about them checked but their values. */
function planModules(
  spec: ModelSpec,
  config: PeftConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  notes: string[],
): Plan[] {
  const budget: MatchBudget = { steps: DEFAULT_MATCH_STEPS }
  const targeted = targetedProjections(spec, config, budget)
  const paths = new Set(baseModules(spec).map(({ path }) => path))
  const found = assignTensors(tensors, targeted, (path) => paths.has(path))
  const absent = found.filter(({ a, b }) => !a && !b)
  if (absent.length > 0) notes.push(absentNote(config, absent))
  return found.filter(({ a, b }) => a || b).map((entry) => planModule(spec, config, entry, budget))
}

/** PEFT fills what the file lacks as if it were new: with zeros in B, which does nothing, or at random. */
function absentNote(config: PeftConfig, absent: readonly LoraTensors[]): string {
  const { path } = absent[0]!.module
  if (!config.absentModulesDoNothing) {
    const name = tensorName(path, 'A')
    const message = `${CONFIG_FILE} targets ${path}, but the weights have no ${name}, and with this init_lora_weights PEFT would fill it at random.`
    throw refusal('adapter_tensor_missing', name, message)
  }
  const more = absent.length > 1 ? ` and ${absent.length - 1} more` : ''
  return `${CONFIG_FILE} targets ${path}${more}, for which the weights hold nothing: left as in the base, as PEFT leaves them.`
}

function planModule(spec: ModelSpec, config: PeftConfig, { module, a, b }: LoraTensors, budget: MatchBudget): Plan {
  const { path, projection } = module
  if (!a || !b) {
    const [missing, present] = a ? ['B', 'A'] : ['A', 'B']
    const name = tensorName(path, missing!)
    throw refusal('adapter_tensor_missing', name, `${path} has a lora_${present} but no ${name}.`)
  }
  const base = projectionShape(spec, projection)
  const { rank, scale, rankField } = rankAndScale(config, path, budget)
  for (const tensor of [a, b]) checkDtype(tensor)
  if (a.shape.length !== 2 || a.shape[1] !== base.in) throw wrongShape(a, `[${rank}, ${base.in}]`)
  if (b.shape.length !== 2 || b.shape[0] !== base.out) throw wrongShape(b, `[${base.out}, ${rank}]`)
  if (b.shape[1] !== a.shape[0]) {
    const message = `${path}: lora_A has ${a.shape[0]} rows, lora_B has ${b.shape[1]} columns; both are the rank.`
    throw refusal('adapter_rank_mismatch', b.name, message)
  }
  if (a.shape[0] !== rank) {
    const message = `Tensor ${shown(a.name)} has rank ${a.shape[0]}, but ${CONFIG_FILE} gives ${path} rank ${rank} (${rankField}).`
    throw refusal('adapter_rank_mismatch', a.name, message)
  }
  return { module, rank, scale, a, b }
}

function wrongShape(tensor: TensorInfo, wanted: string): AdapterRefusedError {
  const message = `Tensor ${shown(tensor.name)} is [${tensor.shape.join(', ')}], this base needs ${wanted}. Was the adapter made for another base?`
  return refusal('adapter_shape_mismatch', tensor.name, message)
}

function checkDtype({ name, dtype }: TensorInfo): void {
  if (isFloat(dtype)) return
  const message = `Tensor ${shown(name)} is ${dtype}; adapters are F32, F16 or BF16.`
  throw refusal('adapter_dtype_unsupported', name, message)
}

function checkLimits(plans: readonly Plan[], { maxRank, maxBytes }: ReadAdapterOptions): void {
  const rank = Math.max(...plans.map((plan) => plan.rank))
  if (maxRank !== undefined && rank > maxRank) {
    throw new AdapterRefusedError(
      'adapter_rank_too_large',
      'r',
      `LoRA rank ${rank} is greater than max_lora_rank ${maxRank}.`,
    )
  }
  const bytes = plans.reduce((sum, { a, b }) => sum + a.byteLength + b.byteLength, 0)
  if (maxBytes !== undefined && bytes > maxBytes) {
    const message = `The adapter's tensors take ${bytes} bytes, more than the ${maxBytes} that are allowed.`
    throw new AdapterRefusedError('adapter_too_large', WEIGHTS_FILE, message)
  }
}

async function readModule({ module, rank, scale, a, b }: Plan, signal?: AbortSignal): Promise<LoraModule> {
  const { layer, projection } = module
  return { layer, projection, rank, scale, a: await readFinite(a, signal), b: await readFinite(b, signal) }
}

async function readFinite(tensor: TensorInfo, signal?: AbortSignal): Promise<LoraTensor> {
  const dtype = tensor.dtype as FloatDtype
  const [rows, columns] = tensor.shape as readonly [number, number]
  const bytes = await readTensor(tensor, signal)
  const bad = firstNonFinite(bytes, dtype)
  if (bad !== null) {
    const at = `[${Math.floor(bad / columns)}, ${bad % columns}]`
    throw refusal('adapter_not_finite', tensor.name, `Tensor ${shown(tensor.name)} is NaN or infinite at ${at}.`)
  }
  return { dtype, shape: [rows, columns], bytes }
}

async function normalAdapter(modules: readonly LoraModule[]): Promise<NormalAdapter> {
  return {
    digest: await digestModules(modules),
    modules,
    maxRank: Math.max(...modules.map(({ rank }) => rank)),
    byteLength: modules.reduce((sum, { a, b }) => sum + a.bytes.byteLength + b.bytes.byteLength, 0),
  }
}

function tensorName(path: string, side: string): string {
  return `base_model.model.${path}.lora_${side}.weight`
}

function isFloat(dtype: string): dtype is FloatDtype {
  return Object.hasOwn(FLOAT_BYTES, dtype)
}
