/**
 * A NeMo adapter (`.nemo`) into the normal form. It is a tar, maybe compressed, with a YAML config and a torch file. NeMo adapts the fused
 * matrices of Megatron: query, key and value are one, their rows by query group (the group's query heads, its key, its
 * value); gate and up are one, gate first. Each part becomes a module of its own, all of them with the same A.
 */
import type { ModelSpec, Projection } from '../model/spec.ts'
import { PROJECTIONS, projectionShape } from '../model/spec.ts'
import { gunzip, isGzip } from '../weights/gzip.ts'
import { type RowRange, tensorRows } from '../weights/rowsSource.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import type { RandomAccess } from '../weights/source.ts'
import { readTar, sliceSource, type TarEntry } from '../weights/tar.ts'
import { TarMeter } from '../weights/tarMeter.ts'
import { readTorch } from '../weights/torch.ts'
import { AdapterRefusedError, shown, tensorRefusal } from './errors.ts'
import { checkPlan, type ModulePlan, wrongShape } from './modulePlan.ts'
import { type ProjectionModule, projectionPath } from './modules.ts'
import { NEMO_CONFIG_FILE, type NemoConfig, parseNemoConfig } from './nemoConfig.ts'
import type { HostAdapter } from './packing.ts'
import { type ReadAdapterOptions, readPlan } from './readPlan.ts'

export const NEMO_WEIGHTS_FILE = 'model_weights.ckpt'
export const MAX_CONFIG_BYTES: number = 128 * 1024
/** What the directory and the pickle of a torch file may take beside its tensors, and those where nobody says how much. */
const OVERHEAD_BYTES = 4 * 1024 * 1024
const MOST_BYTES = 1024 * 1024 * 1024

/** Adapters of a layer by the name of their module, and what their `linear_out` holds. */
const ADAPTERS: ReadonlyMap<string, readonly Projection[]> = new Map([
  ['self_attention.lora_kqv_adapter', ['q', 'k', 'v']],
  ['self_attention.lora_unfused_kqv_adapter.q_adapter', ['q']],
  ['self_attention.lora_unfused_kqv_adapter.k_adapter', ['k']],
  ['self_attention.lora_unfused_kqv_adapter.v_adapter', ['v']],
  ['self_attention.lora_dense_attention_adapter', ['o']],
  ['mlp.lora_hto4h_adapter', ['gate', 'up']],
  ['mlp.lora_unfused_hto4h_adapter.gate_adapter', ['gate']],
  ['mlp.lora_unfused_hto4h_adapter.up_adapter', ['up']],
  ['mlp.lora_4htoh_adapter', ['down']],
])

/** Megatron-core's names and, before it, those of `language_model`. */
const NAME =
  /^model\.(?:module\.)?(?:decoder|language_model\.encoder)\.layers\.(\d+)\.(self_attention|mlp)\.adapter_layer\.([a-z0-9_.]+)\.linear_(in|out)\.weight$/

/** `linear_in` and `linear_out` of one adapter of one layer. */
interface Pair {
  readonly layer: number
  readonly projections: readonly Projection[]
  in: TensorInfo | null
  out: TensorInfo | null
}

/**
 * Reads the adapter in the `.nemo` file for a base of this shape. `file` stays the caller's to close.
 * @throws AdapterRefusedError when it cannot be computed exactly; TarError, TorchFileError, PickleError, ZipError for a
 *   broken file; GzipError; SourceError
 */
export async function readNemoAdapter(
  file: RandomAccess,
  spec: ModelSpec,
  options: ReadAdapterOptions = {},
): Promise<HostAdapter> {
  const { signal, maxBytes = MOST_BYTES } = options
  const source = (await isGzip(file, signal)) ? await unpack(file, maxBytes, signal) : file
  const entries = await readTar(source, signal)
  const config = await readConfig(source, entries, spec, signal)
  const weights = findWeights(source, entries)
  const tensors = await readTorch(
    sliceSource(source, `${source.name}/${NEMO_WEIGHTS_FILE}`, weights.byteOffset, weights.byteLength),
    signal,
  )
  const plans = planModules(spec, config, tensors)
  if (plans.length === 0) throw noTensors(source)
  return await readPlan(spec, { modules: plans }, options)
}

/** Into memory: the archive's bytes are there beside those of the tensors that are read out of it. */
async function unpack(file: RandomAccess, maxBytes: number, signal?: AbortSignal): Promise<RandomAccess> {
  const meter = new TarMeter(file.name, maxBytes + OVERHEAD_BYTES)
  return await gunzip(file, (piece) => meter.take(piece), signal)
}

async function readConfig(
  source: RandomAccess,
  entries: ReadonlyMap<string, TarEntry>,
  spec: ModelSpec,
  signal?: AbortSignal,
): Promise<NemoConfig> {
  const entry = entries.get(NEMO_CONFIG_FILE)
  if (!entry) {
    const message = `${source.name} has no ${NEMO_CONFIG_FILE}.`
    throw new AdapterRefusedError('adapter_config_missing', NEMO_CONFIG_FILE, message)
  }
  if (entry.byteLength > MAX_CONFIG_BYTES) {
    const message = `${NEMO_CONFIG_FILE} has ${entry.byteLength} bytes; at most ${MAX_CONFIG_BYTES} are read.`
    throw new AdapterRefusedError('adapter_config_invalid', NEMO_CONFIG_FILE, message)
  }
  const bytes = await source.read(entry.byteOffset, entry.byteLength, signal)
  return parseNemoConfig(new TextDecoder().decode(bytes), spec)
}

function findWeights(source: RandomAccess, entries: ReadonlyMap<string, TarEntry>): TarEntry {
  const entry = entries.get(NEMO_WEIGHTS_FILE)
  if (entry) return entry
  const split = [...entries.keys()].find((name) => name.endsWith(`/${NEMO_WEIGHTS_FILE}`))
  if (split === undefined) throw noTensors(source)
  const message = `${source.name} is split over ranks (${shown(split)}), which is not supported. Merge the ranks first.`
  throw new AdapterRefusedError('adapter_unsupported', split.slice(0, 300), message)
}

function noTensors(source: RandomAccess): AdapterRefusedError {
  return new AdapterRefusedError('adapter_weights_missing', NEMO_WEIGHTS_FILE, `${source.name} doesn't contain tensors`)
}

function planModules(spec: ModelSpec, config: NemoConfig, tensors: ReadonlyMap<string, TensorInfo>): ModulePlan[] {
  const modules = projectionModules(spec)
  const plans = new Map<string, ModulePlan>()
  for (const [name, pair] of pairUp(spec, tensors)) {
    const { a, parts } = splitPair(spec, name, pair)
    for (const [projection, b] of parts) {
      const key = `${pair.layer}.${projection}`
      if (plans.has(key)) {
        const message = `${shown(b.name)} adapts ${projection} of layer ${pair.layer}, which another tensor adapts too.`
        throw tensorRefusal('adapter_tensor_duplicate', b.name, message)
      }
      const module = modules.get(key)!
      const rankSaidBy = `adapter_dim of ${NEMO_CONFIG_FILE}`
      const plan = { module, rank: config.rank, rankSaidBy, scale: config.scale, lora: { a, b } }
      checkPlan(spec, plan)
      plans.set(key, plan)
    }
  }
  return [...modules.keys()].flatMap((key) => plans.get(key) ?? [])
}

/** By `layer.projection`, in the order of the normal form. */
function projectionModules(spec: ModelSpec): ReadonlyMap<string, ProjectionModule> {
  const modules = Array.from({ length: spec.numLayers }, (_, layer) =>
    PROJECTIONS.map((projection): ProjectionModule => {
      return { kind: 'projection', path: projectionPath(layer, projection), layer, projection }
    }),
  )
  return new Map(modules.flat().map((module) => [`${module.layer}.${module.projection}`, module]))
}

/** @throws AdapterRefusedError for the first tensor that is no part of an adapter of this base */
function pairUp(spec: ModelSpec, tensors: ReadonlyMap<string, TensorInfo>): ReadonlyMap<string, Pair> {
  const pairs = new Map<string, Pair>()
  for (const tensor of tensors.values()) {
    const [, layerText, block, adapter, side] = NAME.exec(tensor.name) ?? []
    const projections = ADAPTERS.get(`${block}.${adapter}`)
    if (!projections) {
      throw tensorRefusal('adapter_tensor_unexpected', tensor.name, `${shown(tensor.name)} is unsupported LoRA weight.`)
    }
    const layer = Number(layerText)
    if (layer >= spec.numLayers) {
      const message = `Tensor ${shown(tensor.name)} is for layer ${layerText}, the base has ${spec.numLayers}. Was the adapter made for another base?`
      throw tensorRefusal('adapter_tensor_unexpected', tensor.name, message)
    }
    const key = `${layer}.${block}.${adapter}`
    const pair = pairs.get(key) ?? { layer, projections, in: null, out: null }
    const place = side as 'in' | 'out'
    if (pair[place]) {
      const message = `${shown(tensor.name)} and ${shown(pair[place].name)} are the same tensor.`
      throw tensorRefusal('adapter_tensor_duplicate', tensor.name, message)
    }
    pair[place] = tensor
    pairs.set(key, pair)
  }
  return pairs
}

/** A, and for each projection its rows of the fused B. */
function splitPair(
  spec: ModelSpec,
  name: string,
  { projections, in: a, out }: Pair,
): { readonly a: TensorInfo; readonly parts: readonly (readonly [Projection, TensorInfo])[] } {
  if (!a || !out) {
    const missing = (a ?? out)!.name.replace(/linear_(?:in|out)\.weight$/, `linear_${a ? 'out' : 'in'}.weight`)
    const message = `The adapter ${name} has a linear_${a ? 'in' : 'out'} but no ${shown(missing)}.`
    throw tensorRefusal('adapter_tensor_missing', missing, message)
  }
  const rows = projections.reduce((sum, projection) => sum + projectionShape(spec, projection).out, 0)
  if (out.shape.length !== 2 || out.shape[0] !== rows) throw wrongShape(out, `[${rows}, rank]`)
  if (projections.length === 1) return { a, parts: [[projections[0]!, out]] }
  const ranges = projections[0] === 'q' ? attentionRows(spec) : mlpRows(spec)
  return { a, parts: ranges.map(([projection, list]) => [projection, tensorRows(out, list)]) }
}

/** Group by group: the query heads that share a key, that key, its value. */
function attentionRows({ numHeads, numKvHeads, headDim }: ModelSpec): readonly (readonly [Projection, RowRange[]])[] {
  const queryRows = (numHeads / numKvHeads) * headDim
  const groupRows = queryRows + 2 * headDim
  const rows = (offset: number, count: number): RowRange[] =>
    Array.from({ length: numKvHeads }, (_, group) => ({ start: group * groupRows + offset, count }))
  return [
    ['q', rows(0, queryRows)],
    ['k', rows(queryRows, headDim)],
    ['v', rows(queryRows + headDim, headDim)],
  ]
}

function mlpRows({ intermediateSize }: ModelSpec): readonly (readonly [Projection, RowRange[]])[] {
  return [
    ['gate', [{ start: 0, count: intermediateSize }]],
    ['up', [{ start: intermediateSize, count: intermediateSize }]],
  ]
}
