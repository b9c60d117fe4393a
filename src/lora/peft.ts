/**
 * A PEFT folder into the normal form: exactly what PEFT would compute with it on this base, or a refusal that names the
 * field or tensor. Shapes, ranks and types are all checked against the base before the first weight is read.
 */
import type { ModelSpec } from '../model/spec.ts'
import { part } from '../part.ts'
import { ConfigError, type ReadJsonOptions, readJsonIfPresent } from '../weights/config.ts'
import { type Folder, openIfPresent } from '../weights/folder.ts'
import { type HeaderLimits, readSafetensors, type TensorInfo } from '../weights/safetensors.ts'
import type { RandomAccess } from '../weights/source.ts'
import { AdapterRefusedError } from './errors.ts'
import { tensorsOf } from './modulePlan.ts'
import type { HostAdapter } from './packing.ts'
import { CONFIG_FILE, type PeftConfig, parsePeftConfig } from './peftConfig.ts'
import { planAdapter } from './peftPlan.ts'
import { type ReadAdapterOptions, readPlan, trustsBase } from './readPlan.ts'

export interface PeftAdapter {
  readonly adapter: HostAdapter
  readonly config: PeftConfig
  /** What was ignored and why that changes nothing, in sentences. */
  readonly notes: readonly string[]
}

type ReadTensors = (source: RandomAccess, signal?: AbortSignal) => Promise<ReadonlyMap<string, TensorInfo>>

const readTorch: ReadTensors = async (source, signal) =>
  (await part(() => import('../weights/torch.ts'))).readTorch(source, signal)

export const WEIGHTS_FILE = 'adapter_model.safetensors'
/** Where PEFT and vLLM look, in their order. */
const WEIGHTS_FILES: readonly (readonly [file: string, read: ReadTensors])[] = [
  [WEIGHTS_FILE, async (source, signal) => (await readSafetensors(source, signal, HEADER_LIMITS)).tensors],
  ['adapter_model.bin', readTorch],
  ['adapter_model.pt', readTorch],
]
/**
 * Adapters come from strangers, and what reads them holds no more than 16 MiB beside their tensors. Real configs have a few
 * kilobytes, those that name every module of a large model some hundred; 65,536 values are the header of seven thousand
 * tensors.
 */
export const CONFIG_LIMITS: Required<Pick<ReadJsonOptions, 'maxBytes' | 'maxValues'>> = {
  maxBytes: 256 * 1024,
  maxValues: 65_536,
}
export const HEADER_LIMITS: HeaderLimits = { maxBytes: 1024 * 1024, maxValues: 65_536 }

const UNCOMPARED = 'The weights of the base that came with the adapter were not compared with those of this one.'

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
    const plan = planAdapter(spec, config, tensors, notes)
    if (tensorsOf(plan).length === 0) throw noTensors(folder)
    if (plan.baseWeights?.length && trustsBase(options)) notes.push(UNCOMPARED)
    return { adapter: await readPlan(spec, plan, options), config, notes }
  } finally {
    await source.close()
  }
}

async function readConfig(folder: Folder, { accept, signal }: ReadAdapterOptions): Promise<PeftConfig> {
  try {
    const options = { ...CONFIG_LIMITS, ...(signal && { signal }) }
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
