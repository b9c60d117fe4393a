/**
 * A PEFT folder into the normal form: exactly what PEFT would compute with it on this base, or a refusal that names the
 * field or tensor. Shapes, ranks and types are all checked against the base before the first weight is read.
 */
import type { ModelSpec } from '../model/spec.ts'
import { ConfigError, readJsonIfPresent } from '../weights/config.ts'
import { type Folder, openIfPresent } from '../weights/folder.ts'
import { readSafetensors, type TensorInfo } from '../weights/safetensors.ts'
import type { RandomAccess } from '../weights/source.ts'
import { readTorch } from '../weights/torch.ts'
import { AdapterRefusedError, tensorRefusal } from './errors.ts'
import { checkPlan, type ModulePlan, type ReadAdapterOptions, readPlans } from './modulePlan.ts'
import { baseModules, targetedProjections } from './modules.ts'
import type { NormalAdapter } from './normal.ts'
import { CONFIG_FILE, type PeftConfig, parsePeftConfig, rankAndScale } from './peftConfig.ts'
import { assignTensors, type LoraTensors } from './peftTensors.ts'
import { DEFAULT_MATCH_STEPS, type MatchBudget } from './pythonRegex.ts'

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
    return { adapter: await readPlans(plans, options), config, notes }
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
): ModulePlan[] {
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
    throw tensorRefusal('adapter_tensor_missing', name, message)
  }
  const more = absent.length > 1 ? ` and ${absent.length - 1} more` : ''
  return `${CONFIG_FILE} targets ${path}${more}, for which the weights hold nothing: left as in the base, as PEFT leaves them.`
}

function planModule(
  spec: ModelSpec,
  config: PeftConfig,
  { module, a, b }: LoraTensors,
  budget: MatchBudget,
): ModulePlan {
  const { path } = module
  if (!a || !b) {
    const [missing, present] = a ? ['B', 'A'] : ['A', 'B']
    const name = tensorName(path, missing!)
    throw tensorRefusal('adapter_tensor_missing', name, `${path} has a lora_${present} but no ${name}.`)
  }
  const { rank, scale, rankField } = rankAndScale(config, path, budget)
  const plan = { module, rank, rankSaidBy: `${rankField} of ${CONFIG_FILE}`, scale, a, b }
  checkPlan(spec, plan)
  return plan
}

function tensorName(path: string, side: string): string {
  return `base_model.model.${path}.lora_${side}.weight`
}
