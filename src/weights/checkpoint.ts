/** A model's weights as one map of tensors, whether they lie in one safetensors file or in shards with an index. */
import { asParam, LorikeetError } from '../errors.ts'
import { readJsonIfPresent } from './config.ts'
import { type Folder, openIfPresent } from './folder.ts'
import { isJsonObject } from './json.ts'
import { readSafetensors, type SafetensorsFile, type TensorInfo } from './safetensors.ts'
import { type RandomAccess, SourceError } from './source.ts'

export interface Checkpoint {
  /** Every tensor of every file; each reads from its own source while the checkpoint is open. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** Bytes of all tensors. */
  readonly byteLength: number
  close(): Promise<void>
}

/** The files of a checkpoint do not fit together. `param` is the file or tensor. */
export class CheckpointError extends LorikeetError {
  readonly code = 'checkpoint_invalid'
  override readonly param: string

  constructor(param: string, message: string) {
    super(message)
    this.param = asParam(param)
  }
}

export const WEIGHTS_FILE = 'model.safetensors'
export const INDEX_FILE = 'model.safetensors.index.json'

/** Far above any real index; one of a thousand layers has about 1 MB. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024

/**
 * Opens `model.safetensors`, or the shards named by `model.safetensors.index.json`. Nothing but headers is read.
 * Throws CheckpointError, SafetensorsError, ConfigError or SourceError; then every file is closed again.
 */
export async function openCheckpoint(folder: Folder, signal?: AbortSignal): Promise<Checkpoint> {
  const single = await openIfPresent(folder, WEIGHTS_FILE, signal)
  const opened: RandomAccess[] = single ? [single] : []
  try {
    if (single) return checkpoint(opened, (await readSafetensors(single, signal)).tensors)
    return await openShards(folder, opened, signal)
  } catch (error) {
    await closeAll(opened)
    throw error
  }
}

async function openShards(folder: Folder, opened: RandomAccess[], signal?: AbortSignal): Promise<Checkpoint> {
  const shardOf = await readIndex(folder, signal)
  const files = new Map<string, SafetensorsFile>()
  for (const shard of new Set(shardOf.values())) {
    const source = await openShard(folder, shard, signal)
    opened.push(source)
    files.set(shard, await readSafetensors(source, signal))
  }
  for (const [tensor, shard] of shardOf) {
    if (files.get(shard)!.tensors.has(tensor)) continue
    throw new CheckpointError(tensor, `${INDEX_FILE} says that ${tensor} is in ${shard}, but it is not.`)
  }
  // Tensors that no index entry names are kept: whoever knows the model decides whether they matter.
  const tensors = new Map<string, TensorInfo>()
  for (const [shard, file] of files) {
    for (const tensor of file.tensors.values()) {
      if (tensors.has(tensor.name)) {
        throw new CheckpointError(tensor.name, `${tensor.name} is in ${shard} and in another shard of ${folder.name}.`)
      }
      tensors.set(tensor.name, tensor)
    }
  }
  return checkpoint(opened, tensors)
}

/** Tensor name to shard, in the order of the index. */
async function readIndex(folder: Folder, signal?: AbortSignal): Promise<ReadonlyMap<string, string>> {
  const options = signal ? { maxBytes: MAX_INDEX_BYTES, signal } : { maxBytes: MAX_INDEX_BYTES }
  const index = await readJsonIfPresent(folder, INDEX_FILE, options)
  if (!index) {
    const message = `${folder.name} has neither ${WEIGHTS_FILE} nor ${INDEX_FILE}. Is it a model folder with safetensors weights?`
    throw new CheckpointError(WEIGHTS_FILE, message)
  }
  const { weight_map: weightMap } = index
  if (!isJsonObject(weightMap)) throw new CheckpointError(INDEX_FILE, `${INDEX_FILE}: weight_map must be an object.`)
  const shardOf = new Map<string, string>()
  for (const [tensor, shard] of Object.entries(weightMap)) {
    if (typeof shard !== 'string') {
      throw new CheckpointError(INDEX_FILE, `${INDEX_FILE}: weight_map.${tensor} must be the name of a file.`)
    }
    shardOf.set(tensor, shard)
  }
  if (shardOf.size === 0) throw new CheckpointError(INDEX_FILE, `${INDEX_FILE}: weight_map is empty.`)
  return shardOf
}

async function openShard(folder: Folder, shard: string, signal?: AbortSignal): Promise<RandomAccess> {
  try {
    return await folder.open(shard, signal)
  } catch (error) {
    if (!(error instanceof SourceError) || error.code !== 'file_not_found') throw error
    throw new CheckpointError(
      shard,
      `${folder.name} lacks ${shard}, which ${INDEX_FILE} names. Is the download complete?`,
    )
  }
}

function checkpoint(sources: readonly RandomAccess[], tensors: ReadonlyMap<string, TensorInfo>): Checkpoint {
  let byteLength = 0
  for (const tensor of tensors.values()) byteLength += tensor.byteLength
  return { tensors, byteLength, close: () => closeAll(sources) }
}

async function closeAll(sources: readonly RandomAccess[]): Promise<void> {
  await Promise.all(sources.map((source) => source.close()))
}
