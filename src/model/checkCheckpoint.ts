/**
 * Holds a checkpoint against the model that its config describes, before anything is allocated: every tensor there,
 * in the right shape, in a type that can be computed with, and none left over that would change the answer.
 */
import { LorikeetError } from '../errors.ts'
import type { Checkpoint } from '../weights/checkpoint.ts'
import { FLOAT_BYTES } from '../weights/dtype.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import { tensorSlices } from '../weights/tensorData.ts'
import type { ModelSpec } from './spec.ts'
import { EMBEDDING, expectedTensors, FINAL_NORM, LM_HEAD } from './tensorNames.ts'

/** Config and weights are of different models, or the weights are of a kind that is not computed with. */
export class CheckpointMismatchError extends LorikeetError {
  readonly code = 'checkpoint_mismatch'
  /** Name of the tensor. */
  override readonly param: string

  constructor(tensor: string, problem: string) {
    super(`${tensor} ${problem}.`)
    this.param = tensor
  }
}

export interface CheckpointReport {
  /** Tensors that are there and not read, such as the buffers of older rotary embeddings; for one line of log. */
  readonly unused: readonly string[]
}

/** Throws CheckpointMismatchError for the first tensor that is missing, misshapen, of an unknown type, or too many. */
export function checkCheckpoint(spec: ModelSpec, checkpoint: Checkpoint): CheckpointReport {
  const expected = expectedTensors(spec)
  for (const [name, shape] of expected) checkTensor(name, shape, checkpoint.tensors.get(name))
  const unused = [...checkpoint.tensors.keys()].filter((name) => !expected.has(name))
  for (const name of unused) {
    if (isHarmless(spec, name)) continue
    const problem = `is in the checkpoint, but a ${spec.family} model with this config.json has no such tensor; without it the answers would be wrong`
    throw new CheckpointMismatchError(name, problem)
  }
  return { unused }
}

/**
 * The head a model really has. A config may say "tied" while the checkpoint brings an lm_head of its own;
 * transformers ties them only where their values are equal, and so does this. Reads both matrices only in that case.
 */
export async function withActualHead(
  spec: ModelSpec,
  checkpoint: Checkpoint,
  signal?: AbortSignal,
): Promise<ModelSpec> {
  const embedding = checkpoint.tensors.get(EMBEDDING)
  const head = checkpoint.tensors.get(LM_HEAD)
  if (!spec.tiedEmbeddings || !embedding || !head) return spec
  return (await sameBytes(embedding, head, signal)) ? spec : { ...spec, tiedEmbeddings: false }
}

function checkTensor(name: string, shape: readonly number[], tensor: TensorInfo | undefined): void {
  if (!tensor) {
    throw new CheckpointMismatchError(name, 'is missing from the checkpoint. Is it complete, and for this config.json?')
  }
  if (!Object.hasOwn(FLOAT_BYTES, tensor.dtype)) {
    const supported = Object.keys(FLOAT_BYTES).join(', ')
    throw new CheckpointMismatchError(
      name,
      `has the type ${tensor.dtype}, which is not computed with; use ${supported}`,
    )
  }
  if (tensor.shape.length === shape.length && tensor.shape.every((size, i) => size === shape[i])) return
  throw new CheckpointMismatchError(name, `has the shape [${tensor.shape}], config.json asks for [${shape}]`)
}

/**
 * Tensors of layers beyond the config's, or of heads that generation does not use, are left alone as transformers
 * leaves them. One that belongs to a module we compute is not: a bias, a scale, a norm would be dropped in silence.
 */
function isHarmless(spec: ModelSpec, name: string): boolean {
  if (name === LM_HEAD && spec.tiedEmbeddings) return true
  if (name.endsWith('rotary_emb.inv_freq')) return true
  const layer = /^model\.layers\.(\d+)\./.exec(name)
  if (layer) return Number(layer[1]) >= spec.numLayers
  const modules = [EMBEDDING, FINAL_NORM, LM_HEAD].map((tensor) => tensor.slice(0, tensor.lastIndexOf('.') + 1))
  return !modules.some((module) => name.startsWith(module))
}

async function sameBytes(a: TensorInfo, b: TensorInfo, signal?: AbortSignal): Promise<boolean> {
  if (a.dtype !== b.dtype || a.byteLength !== b.byteLength) return false
  const others = tensorSlices(b, undefined, signal)
  try {
    for await (const { bytes } of tensorSlices(a, undefined, signal)) {
      const other = await others.next()
      if (other.done || !sameWords(words(bytes), words(other.value.bytes))) return false
    }
    return true
  } finally {
    await others.return()
  }
}

/** A slice as whole words: its buffer begins at 0 and is zeroed up to a multiple of four. */
function words(bytes: Uint8Array<ArrayBuffer>): Uint32Array {
  return new Uint32Array(bytes.buffer, 0, Math.ceil(bytes.byteLength / 4))
}

function sameWords(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return a.length === b.length
}
