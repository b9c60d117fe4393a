/**
 * DoRA's row scales. What a DoRA adapter brings are magnitudes; what a step multiplies by is the magnitude of each row of
 * W + scale * B A over its length. The lengths depend on weights alone, so they are taken once, on the device, when the
 * adapter first arrives: a slice at a time, so that the steps of running sequences pass in between. They are kept with
 * the adapter's bytes for the next time. Nothing of this is compiled or allocated before the first DoRA adapter arrives.
 */
import { abortReason } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { BoundKernel, Grid } from '../gpu/kernel.ts'
import type { Tracked } from '../gpu/ledger.ts'
import { entryPlace, slabLayer, type TableGroup } from '../model/adapterTable.ts'
import {
  doraEmbedNormGrid,
  doraEmbedNormJob,
  doraEmbedNormKernel,
  doraEmbedNormParams,
} from '../model/kernels/doraEmbedNorm.ts'
import { doraNormGrid, doraNormJob, doraNormKernel, doraNormParams } from '../model/kernels/doraNorm.ts'
import type { Matrix, MatrixShard } from '../model/matrix.ts'
import { ParamArena } from '../model/paramArena.ts'
import { GROUP_PROJECTIONS, GROUPS, groupShape, type ModelSpec, projectionShape } from '../model/spec.ts'
import type { ModelWeights } from '../model/weights.ts'
import type { LoraPart } from './normal.ts'
import type { PackedGroup, PackedProjection } from './packing.ts'

/** Multiply-adds of a slice: a few hundredths of a second on a software device, less than a step on any other. */
const SLICE_WORK = 2 ** 26
/** Slices begin at multiples of this many rows. */
const ROW_STEP = 64

/** Where the adapters' matrices are. */
export interface NormBuffers {
  readonly table: Tracked
  slabOf(layer: number): Tracked
}

/** What all norms of a runtime share. */
interface Shared {
  readonly params: Tracked
  readonly job: Tracked
  /** Sums over the tokens of an embedding so far, [hidden]. */
  readonly squares: Tracked
  /** Params of each kind of shard, by shapeKey(). */
  readonly shapes: ReadonlyMap<string, GPUBufferBinding>
  readonly kernels: Map<string, BoundKernel>
}

/** Rows of a shard that are done in one go. */
interface Slice {
  readonly kernel: BoundKernel
  readonly grid: Grid
  readonly job: Uint32Array<ArrayBuffer>
  /** Multiply-adds. */
  readonly work: number
}

export class DoraNorms {
  readonly #gpu: Gpu
  readonly #spec: ModelSpec
  readonly #weights: ModelWeights
  readonly #buffers: NormBuffers
  #shared: Shared | null = null
  readonly #known = new WeakMap<LoraPart, Float32Array>()

  constructor(gpu: Gpu, spec: ModelSpec, weights: ModelWeights, buffers: NormBuffers) {
    this.#gpu = gpu
    this.#spec = spec
    this.#weights = weights
    this.#buffers = buffers
  }

  /** The row scale of a part of an adapter that was here before. */
  rowScaleOf(part: LoraPart): Float32Array | undefined {
    return this.#known.get(part)
  }

  /**
   * Turns the magnitudes of `groups` in a slot into row scales, but for those that rowScaleOf() knew. Matrices and table
   * entries are on the device already; resolves when it is done. One call at a time.
   * @param groups each with where its layout begins in its slab, in bytes
   * @throws GpuOutOfMemoryError, ShaderError, GpuLostError, the signal's reason
   */
  async apply(
    slot: number,
    groups: readonly (readonly [PackedGroup, slabOffset: number])[],
    signal?: AbortSignal,
  ): Promise<void> {
    const wanted = groups.filter(([{ projections }]) =>
      projections.some((one) => one?.rowScaleOffset != null && !this.#known.has(one.module)),
    )
    if (wanted.length === 0) return
    this.#shared ??= await this.#prepare()
    let waiting = 0
    for (const [packed] of wanted) {
      for await (const { kernel, grid, job, work } of this.#slices(this.#shared, slot, packed)) {
        this.#gpu.write(this.#shared.job, 0, job)
        const recorder = this.#gpu.recorder()
        recorder.dispatch(kernel, grid)
        recorder.submit()
        waiting += work
        if (waiting < SLICE_WORK) continue
        await this.#gpu.idle()
        if (signal?.aborted) throw abortReason(signal)
        waiting = 0
      }
    }
    for (const [packed, slabOffset] of wanted) await this.#remember(packed, slabOffset)
  }

  /** All row scales of a group or none: what is half known would be divided twice. */
  async #remember({ layer, group, projections }: PackedGroup, slabOffset: number): Promise<void> {
    const scaled = projections.filter((one) => one?.rowScaleOffset != null) as PackedProjection[]
    const slab = this.#buffers.slabOf(slabLayer(this.#spec, layer, group))
    const scales = await Promise.all(
      scaled.map(({ rowScaleOffset, out }) => this.#gpu.readback(slab, slabOffset + rowScaleOffset!, out * 4)),
    )
    for (const [i, { module }] of scaled.entries()) this.#known.set(module, new Float32Array(scales[i]!.buffer))
  }

  close(): void {
    if (!this.#shared) return
    for (const buffer of [this.#shared.params, this.#shared.job, this.#shared.squares]) buffer.destroy()
  }

  async *#slices(shared: Shared, slot: number, packed: PackedGroup): AsyncGenerator<Slice> {
    const { can } = this.#gpu
    const { shards, rows, cols } = this.#matrix(packed.baseLayer, packed.group)
    const line = entryLine(this.#spec, slot, packed)
    const rank = Math.max(...packed.projections.map((one) => one?.paddedRank ?? 0))
    const rowWork = cols * (rank + 1)
    const most = Math.max(1, Math.floor(SLICE_WORK / rowWork / ROW_STEP)) * ROW_STEP
    for (const shard of shards) {
      const kernel = await this.#kernel(shared, packed, shard)
      for (let first = 0; first < shard.rows; first += most) {
        const count = Math.min(most, shard.rows - first)
        const work = count * rowWork
        if (packed.group === 'embedding') {
          const at = shard.rowStart + first
          const job = doraEmbedNormJob({ slot: line, first, count, begins: at === 0, ends: at + count === rows })
          yield { kernel, job, work, grid: doraEmbedNormGrid(can, cols) }
        } else {
          yield { kernel, job: doraNormJob(line, first, count), work, grid: doraNormGrid(can, count) }
        }
      }
    }
  }

  #matrix(layer: number, group: TableGroup): Matrix {
    if (group === 'embedding') return this.#weights.embed
    if (group === 'head') return this.#weights.lmHead
    return this.#weights.layers[layer]!.matrices[group]
  }

  async #prepare(): Promise<Shared> {
    const shapes = new Map<string, Uint32Array<ArrayBuffer>>()
    for (let layer = 0; layer < this.#spec.numLayers; layer++) {
      for (const group of [...GROUPS, 'embedding', 'head'] as const) {
        for (const shard of this.#matrix(layer, group).shards) {
          shapes.set(shapeKey(group, shard), this.#params(group, shard))
        }
      }
    }
    const { hiddenSize } = this.#spec
    const [job, squares] = await this.#gpu.allocateAll([
      { label: 'DoRA norms, which rows', purpose: 'params', byteLength: 16 },
      { label: 'DoRA norms, sums', purpose: 'params', byteLength: hiddenSize * 4 },
    ])
    try {
      const params = await ParamArena.create(this.#gpu, shapes.size)
      const bound = new Map([...shapes].map(([key, words]) => [key, params.add(words)]))
      await params.upload()
      return { params: params.buffer, job: job!, squares: squares!, shapes: bound, kernels: new Map() }
    } catch (error) {
      job!.destroy()
      squares!.destroy()
      throw error
    }
  }

  /** The same for all layers and slots, whose entries the job counts in one go. */
  #params(group: TableGroup, { rowStart }: MatrixShard): Uint32Array<ArrayBuffer> {
    const { hiddenSize, vocabSize } = this.#spec
    const place = { ...entryPlace(this.#spec, 0, group), layer: 0, numLayers: 1 }
    if (group === 'embedding') return doraEmbedNormParams({ ...place, hidden: hiddenSize, shardStart: rowStart })
    if (group === 'head') return doraNormParams({ ...place, in: hiddenSize, outs: [vocabSize], rowStart })
    const outs = GROUP_PROJECTIONS[group].map((projection) => projectionShape(this.#spec, projection).out)
    return doraNormParams({ ...place, in: groupShape(this.#spec, group).in, outs, rowStart })
  }

  async #kernel(
    { shapes, kernels, job, squares }: Shared,
    packed: PackedGroup,
    shard: MatrixShard,
  ): Promise<BoundKernel> {
    const { layer, baseLayer, group, dtype } = packed
    const shape = shapeKey(group, shard)
    const home = slabLayer(this.#spec, layer, group)
    const key = `${shape} ${baseLayer} ${home} ${dtype}`
    const bound = kernels.get(key)
    if (bound) return bound
    const matrix = this.#matrix(baseLayer, group)
    const { can } = this.#gpu
    const { definition, specialisation } =
      group === 'embedding' ? doraEmbedNormKernel(can, matrix.dtype) : doraNormKernel(can, matrix.dtype, [dtype])
    const kernel = await this.#gpu.kernel(definition, specialisation)
    const buffers = {
      params: shapes.get(shape)!,
      job,
      table: this.#buffers.table,
      w: shard.buffer,
      slab: this.#buffers.slabOf(home),
      ...(group === 'embedding' && { squares }),
    }
    const made = kernel.bind(buffers, `dora norm ${group}`)
    kernels.set(key, made)
    return made
  }
}

function shapeKey(group: TableGroup, { rowStart }: MatrixShard): string {
  return `${group} ${rowStart}`
}

/** Which layer of the table it is, over all slots. */
function entryLine(spec: ModelSpec, slot: number, { layer, group }: PackedGroup): number {
  const place = entryPlace(spec, layer, group)
  return slot * place.numLayers + place.layer
}
