/**
 * Brings a checkpoint to the GPU in the order of its files: matrices in their width with the projections of a group below
 * each other, vectors (norm gains, biases) widened to f32 in one buffer. While a stretch goes up the next is read, and
 * JavaScript never holds more than these two.
 */
import { abortReason, invariant, LorikeetError } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { Checkpoint } from '../weights/checkpoint.ts'
import { FLOAT_BYTES, type FloatDtype, toFloat32 } from '../weights/dtype.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import { readTensors } from '../weights/tensorRuns.ts'
import { type Matrix, shardSpecs, uploadRows } from './matrix.ts'
import { GROUPS, type Group, groupModules, groupShape, type ModelSpec } from './spec.ts'

/** Of what comes from a server, in one request. */
const REQUEST_BYTES = 16 * 1024 * 1024

/** A slice of the vector buffer: f32, bound by offset. */
export type Vector = GPUBufferBinding

export interface LayerWeights {
  /** Per group: [sum of its projections' outputs, inputs]. */
  readonly matrices: Readonly<Record<Group, Matrix>>
  /** Per group: its projections' biases side by side, where the base has them. */
  readonly biases: Readonly<Record<Group, Vector | null>>
  readonly inputNorm: Vector
  readonly postNorm: Vector
  /** Gains over a head, [headDim], where the model normalises q and k. */
  readonly qNorm: Vector | null
  readonly kNorm: Vector | null
}

export interface ModelWeights {
  /** [vocab, hidden] */
  readonly embed: Matrix
  /** [vocab, hidden]; the same matrix as `embed` in a tied model. */
  readonly lmHead: Matrix
  readonly finalNorm: Vector
  readonly layers: readonly LayerWeights[]
  /** Every buffer of the above, to destroy. */
  readonly buffers: readonly Tracked[]
}

/** Reads a vector back: for what is worked out once, not for steps. */
export async function readVector(gpu: Gpu, { buffers }: ModelWeights, vector: Vector): Promise<Float32Array> {
  const buffer = buffers.find((each) => each.buffer === vector.buffer)
  invariant(buffer, 'A vector is not of these weights')
  return new Float32Array((await gpu.readback(buffer, vector.offset, vector.size)).buffer)
}

/** Reads rows of a matrix back as f32, for comparisons. */
export async function readMatrixRows(gpu: Gpu, matrix: Matrix, first: number, count: number): Promise<Float32Array> {
  const { dtype, cols, shards } = matrix
  const rowBytes = cols * FLOAT_BYTES[dtype]
  const out = new Float32Array(count * cols)
  for (const { buffer, rowStart, rows } of shards) {
    const from = Math.max(first, rowStart)
    const to = Math.min(first + count, rowStart + rows)
    if (from >= to) continue
    const bytes = await gpu.readback(buffer, (from - rowStart) * rowBytes, (to - from) * rowBytes)
    out.set(toFloat32(bytes, dtype), (from - first) * cols)
  }
  return out
}

/** Projections that are computed together came in different element types. */
export class MixedDtypeError extends LorikeetError {
  readonly code = 'unsupported_model'
  override readonly param: string

  constructor(tensors: readonly TensorInfo[]) {
    const each = tensors.map(({ name, dtype }) => `${name} is ${dtype}`).join(', ')
    super(`${each}: projections that share an input must have one element type. Convert the checkpoint to one.`)
    this.param = tensors[0]!.name
  }
}

export interface LoadProgress {
  readonly loadedBytes: number
  readonly totalBytes: number
}

/**
 * Loads what `spec` needs from a checkpoint that checkCheckpoint() has accepted.
 * @throws GpuOutOfMemoryError, SourceError, MixedDtypeError, the signal's reason; nothing is left allocated then.
 */
export async function loadModelWeights(
  gpu: Gpu,
  spec: ModelSpec,
  checkpoint: Checkpoint,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (progress: LoadProgress) => void } = {},
): Promise<ModelWeights> {
  const loader = new WeightLoader(gpu, spec, checkpoint, options)
  try {
    return await loader.load()
  } catch (error) {
    for (const buffer of loader.buffers) buffer.destroy()
    throw error
  }
}

/** A matrix to fill: the tensors that stand below each other in it. */
interface Fill {
  readonly matrix: Matrix
  readonly parts: readonly TensorInfo[]
}

class WeightLoader {
  readonly buffers: Tracked[] = []
  readonly #gpu: Gpu
  readonly #spec: ModelSpec
  readonly #checkpoint: Checkpoint
  readonly #signal: AbortSignal | undefined
  readonly #onProgress: (progress: LoadProgress) => void
  readonly #fills: Fill[] = []
  readonly #vectors: {
    readonly parts: readonly TensorInfo[]
    readonly byteOffset: number
    readonly byteLength: number
  }[] = []
  #vectorBytes = 0
  #loadedBytes = 0

  constructor(
    gpu: Gpu,
    spec: ModelSpec,
    checkpoint: Checkpoint,
    options: { readonly signal?: AbortSignal; readonly onProgress?: (progress: LoadProgress) => void },
  ) {
    this.#gpu = gpu
    this.#spec = spec
    this.#checkpoint = checkpoint
    this.#signal = options.signal
    this.#onProgress = options.onProgress ?? (() => undefined)
  }

  /** Allocates everything first (so that a model that does not fit fails at once), then fills it. */
  async load(): Promise<ModelWeights> {
    const spec = this.#spec
    const embed = await this.#matrix('model.embed_tokens.weight', ['model.embed_tokens.weight'], spec.hiddenSize)
    const lmHead = spec.tiedEmbeddings
      ? embed
      : await this.#matrix('lm_head.weight', ['lm_head.weight'], spec.hiddenSize)
    const layers: { matrices: Record<Group, Matrix>; vectors: (buffer: Tracked) => Omit<LayerWeights, 'matrices'> }[] =
      []
    for (let layer = 0; layer < spec.numLayers; layer++) layers.push(await this.#layer(layer))
    const finalNorm = this.#vector(['model.norm.weight'])
    const vectors = await this.#gpu.allocate({
      label: 'norms and biases',
      purpose: 'weights',
      byteLength: this.#vectorBytes,
    })
    this.buffers.push(vectors)
    await this.#fillVectors(vectors)
    await this.#fillMatrices()
    await this.#gpu.idle()
    return {
      embed,
      lmHead,
      finalNorm: finalNorm(vectors),
      layers: layers.map(({ matrices, vectors: bind }) => ({ matrices, ...bind(vectors) })),
      buffers: this.buffers,
    }
  }

  async #layer(
    layer: number,
  ): Promise<{ matrices: Record<Group, Matrix>; vectors: (buffer: Tracked) => Omit<LayerWeights, 'matrices'> }> {
    const prefix = `model.layers.${layer}.`
    const names = (group: Group, kind: string) =>
      groupModules(this.#spec, group).map(({ path }) => `${prefix}${path}.${kind}`)
    const matrices = {} as Record<Group, Matrix>
    for (const group of GROUPS) {
      matrices[group] = await this.#matrix(
        `${prefix}${group}`,
        names(group, 'weight'),
        groupShape(this.#spec, group).in,
      )
    }
    const { bias, qkNorm } = this.#spec
    const has: Readonly<Record<Group, boolean>> = {
      attn_in: bias.qkv,
      attn_out: bias.o,
      mlp_in: bias.mlp,
      mlp_out: bias.mlp,
    }
    const biases = GROUPS.map((group) => [group, has[group] ? this.#vector(names(group, 'bias')) : null] as const)
    const inputNorm = this.#vector([`${prefix}input_layernorm.weight`])
    const postNorm = this.#vector([`${prefix}post_attention_layernorm.weight`])
    const qNorm = qkNorm ? this.#vector([`${prefix}self_attn.q_norm.weight`]) : null
    const kNorm = qkNorm ? this.#vector([`${prefix}self_attn.k_norm.weight`]) : null
    return {
      matrices,
      vectors: (buffer) => ({
        biases: Object.fromEntries(biases.map(([group, at]) => [group, at?.(buffer) ?? null])) as Record<
          Group,
          Vector | null
        >,
        inputNorm: inputNorm(buffer),
        postNorm: postNorm(buffer),
        qNorm: qNorm?.(buffer) ?? null,
        kNorm: kNorm?.(buffer) ?? null,
      }),
    }
  }

  async #matrix(label: string, names: readonly string[], cols: number): Promise<Matrix> {
    const parts = names.map((name) => this.#checkpoint.tensors.get(name)!)
    if (new Set(parts.map(({ dtype }) => dtype)).size > 1) throw new MixedDtypeError(parts)
    const dtype = parts[0]!.dtype as FloatDtype
    const rows = parts.reduce((sum, { shape }) => sum + shape[0]!, 0)
    const plans = shardSpecs(this.#gpu, label, dtype, rows, cols)
    const buffers = await this.#gpu.allocateAll(plans.map(({ spec }) => spec))
    this.buffers.push(...buffers)
    const shards = plans.map(({ rowStart, rows: count }, i) => ({ buffer: buffers[i]!, rowStart, rows: count }))
    const matrix: Matrix = { dtype, rows, cols, shards }
    this.#fills.push({ matrix, parts })
    return matrix
  }

  /** Reserves room for the tensors side by side, and says where once the buffer exists. */
  #vector(names: readonly string[]): (buffer: Tracked) => Vector {
    const parts = names.map((name) => this.#checkpoint.tensors.get(name)!)
    const byteOffset = this.#vectorBytes
    const byteLength = 4 * parts.reduce((sum, { shape }) => sum + shape[0]!, 0)
    this.#vectors.push({ parts, byteOffset, byteLength })
    // 256: the alignment of binding offsets every device accepts.
    this.#vectorBytes = Math.ceil((byteOffset + byteLength) / 256) * 256
    return ({ buffer }) => ({ buffer, offset: byteOffset, size: byteLength })
  }

  async #fillVectors(target: Tracked): Promise<void> {
    const places = new Map<TensorInfo, number[]>()
    for (const { parts, byteOffset } of this.#vectors) {
      let at = byteOffset
      for (const part of parts) {
        places.set(part, [...(places.get(part) ?? []), at])
        at += 4 * part.shape[0]!
      }
    }
    for await (const { tensor, firstRow, bytes } of readTensors(places.keys(), this.#signal, REQUEST_BYTES)) {
      const values = new Uint8Array(toFloat32(bytes, tensor.dtype as FloatDtype).buffer)
      for (const at of places.get(tensor)!) {
        await this.#gpu.upload(target, at + 4 * firstRow, values)
        this.#advance(bytes.byteLength)
      }
    }
  }

  async #fillMatrices(): Promise<void> {
    const places = new Map<TensorInfo, { readonly matrix: Matrix; readonly firstRow: number }[]>()
    for (const { matrix, parts } of this.#fills) {
      let firstRow = 0
      for (const part of parts) {
        places.set(part, [...(places.get(part) ?? []), { matrix, firstRow }])
        firstRow += part.shape[0]!
      }
    }
    for await (const { tensor, firstRow, bytes } of readTensors(places.keys(), this.#signal, REQUEST_BYTES)) {
      for (const { matrix, firstRow: start } of places.get(tensor)!) {
        const rowBytes = matrix.cols * FLOAT_BYTES[matrix.dtype]
        await uploadRows(this.#gpu, matrix, (start + firstRow) * rowBytes, bytes)
        this.#advance(bytes.byteLength)
      }
    }
  }

  #advance(bytes: number): void {
    if (this.#signal?.aborted) throw abortReason(this.#signal)
    this.#loadedBytes += bytes
    this.#onProgress({ loadedBytes: this.#loadedBytes, totalBytes: this.#checkpoint.byteLength })
  }
}
