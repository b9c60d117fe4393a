/**
 * A PEFT folder into the normal form: exactly what PEFT would compute with it on this base, or a refusal that names the
 * field or tensor. Shapes, ranks and types are all checked against the base before the first weight is read.
 */
import { hasBias, type ModelSpec } from '../model/spec.ts'
import { ConfigError, readJsonIfPresent } from '../weights/config.ts'
import { type Folder, openIfPresent } from '../weights/folder.ts'
import { readSafetensors, type TensorInfo } from '../weights/safetensors.ts'
import type { RandomAccess } from '../weights/source.ts'
import { readTorch } from '../weights/torch.ts'
import { AdapterRefusedError, tensorRefusal } from './errors.ts'
import { checkPlan, type ModulePlan, type ReadAdapterOptions, readPlans } from './modulePlan.ts'
import { type BaseModule, baseModules, type ProjectionModule, targetedProjections } from './modules.ts'
import type { NormalAdapter } from './normal.ts'
import { CONFIG_FILE, type PeftConfig, parsePeftConfig, rankAndScale } from './peftConfig.ts'
import { assignTensors, type ModuleTensors, type TensorRole } from './peftTensors.ts'
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
  const config = await readConfig(folder, options)
  const [source, readTensors] = await openWeights(folder, signal)
  try {
    const tensors = await readTensors(source, signal)
    if (tensors.size === 0) throw noTensors(folder)
    const notes = [...config.notes]
    const plans = planModules(spec, config, tensors, notes)
    if (plans.length === 0) throw noTensors(folder)
    return { adapter: await readPlans(spec, plans, options), config, notes }
  } finally {
    await source.close()
  }
}

async function readConfig(folder: Folder, { accept, signal }: ReadAdapterOptions): Promise<PeftConfig> {
  try {
    const options = { maxBytes: MAX_CONFIG_BYTES, ...(signal && { signal }) }
    const values = await readJsonIfPresent(folder, CONFIG_FILE, options)
    if (values) return parsePeftConfig(values, accept)
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
  const targeted = new Set(targetedProjections(spec, config, budget).map(({ path }) => path))
  const modules = baseModules(spec)
  const places = new Map(modules.map((module) => [module.path, placeOf(spec, config, module, targeted)]))
  const found = assignTensors(tensors, places)
  const absent = [...targeted].filter((path) => !hasLora(found.get(path)))
  if (absent.length > 0) notes.push(absentNote(config, absent))
  return modules.flatMap((module) => {
    const own = found.get(module.path)
    return own && module.kind === 'projection' ? [planModule(spec, config, module, own, budget)] : []
  })
}

/** What the config lets a file say about a module of the base. */
function placeOf(
  spec: ModelSpec,
  config: PeftConfig,
  module: BaseModule,
  targeted: ReadonlySet<string>,
): { readonly roles: ReadonlySet<TensorRole> } {
  const roles = new Set<TensorRole>()
  if (module.kind !== 'projection') return { roles }
  const adapted = targeted.has(module.path)
  if (adapted) {
    roles.add('a').add('b')
    if (config.useDora) roles.add('magnitude')
    if (config.loraBias) roles.add('loraBias')
  }
  const bringsBias = config.bias === 'all' || (config.bias === 'lora_only' && adapted)
  if (bringsBias && hasBias(spec, module.projection)) roles.add('bias')
  return { roles }
}

function hasLora(tensors: ModuleTensors | undefined): boolean {
  return Boolean(tensors?.a || tensors?.b || tensors?.magnitude || tensors?.loraBias)
}

/** PEFT fills what the file lacks as if it were new: with zeros in B, which does nothing, or at random. */
function absentNote(config: PeftConfig, absent: readonly string[]): string {
  const path = absent[0]!
  if (!config.absentModulesDoNothing) {
    const name = tensorName(path, 'lora_A.weight')
    const message = `${CONFIG_FILE} targets ${path}, but the weights have no ${name}, and with this init_lora_weights PEFT would fill it at random.`
    throw tensorRefusal('adapter_tensor_missing', name, message)
  }
  const more = absent.length > 1 ? ` and ${absent.length - 1} more` : ''
  return `${CONFIG_FILE} targets ${path}${more}, for which the weights hold nothing: left as in the base, as PEFT leaves them.`
}

/** Names PEFT gives the tensors that one adapted module must have, by role. */
const LORA_TENSORS = {
  a: 'lora_A.weight',
  b: 'lora_B.weight',
  magnitude: 'lora_magnitude_vector',
  loraBias: 'lora_B.bias',
} as const satisfies Partial<Record<TensorRole, string>>

function planModule(
  spec: ModelSpec,
  config: PeftConfig,
  module: ProjectionModule,
  tensors: ModuleTensors,
  budget: MatchBudget,
): ModulePlan {
  const { path } = module
  const { a, b, ...vectors } = tensors
  if (!hasLora(tensors)) {
    const plan = { module, rank: 0, rankSaidBy: CONFIG_FILE, scale: 0, lora: null, vectors }
    checkPlan(spec, plan)
    return plan
  }
  const wanted = (Object.keys(LORA_TENSORS) as (keyof typeof LORA_TENSORS)[]).filter(
    (role) => (role !== 'magnitude' || config.useDora) && (role !== 'loraBias' || config.loraBias),
  )
  const missing = wanted.find((role) => !tensors[role])
  if (missing || !a || !b) {
    const name = tensorName(path, LORA_TENSORS[missing!])
    const present = LORA_TENSORS[wanted.find((role) => tensors[role])!]
    throw tensorRefusal('adapter_tensor_missing', name, `${path} has a ${present} but no ${name}.`)
  }
  const { rank, scale, rankField } = rankAndScale(config, path, budget)
  const plan = { module, rank, rankSaidBy: `${rankField} of ${CONFIG_FILE}`, scale, lora: { a, b }, vectors }
  checkPlan(spec, plan)
  return plan
}

function tensorName(path: string, tensor: string): string {
  return `base_model.model.${path}.${tensor}`
}
