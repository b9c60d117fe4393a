/**
 * DoRA's row scales. What a DoRA adapter brings are magnitudes; what a step multiplies by is the magnitude of each row of
 * W + scale * B A over its length. The lengths depend on weights alone, so they are taken once, on the device, when the
 * adapter arrives: a slice at a time, so that the steps of running sequences pass in between. Nothing of this is
 * compiled or allocated before the first DoRA adapter arrives.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { BoundKernel } from '../gpu/kernel.ts'
import type { Tracked } from '../gpu/ledger.ts'
import { doraNormGrid, doraNormJob, doraNormKernel, doraNormParams } from '../model/kernels/doraNorm.ts'
import type { MatrixShard } from '../model/matrix.ts'
import { ParamArena } from '../model/paramArena.ts'
import { GROUP_PROJECTIONS, GROUPS, groupShape, type ModelSpec, projectionShape } from '../model/spec.ts'
import type { ModelWeights } from '../model/weights.ts'
import type { PackedGroup } from './packing.ts'

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
  /** Params of each shard. */
  readonly shapes: ReadonlyMap<MatrixShard, GPUBufferBinding>
  readonly kernels: Map<string, BoundKernel>
}

export class DoraNorms {
  readonly #gpu: Gpu
  readonly #spec: ModelSpec
  readonly #weights: ModelWeights
  readonly #buffers: NormBuffers
  #shared: Shared | null = null

  constructor(gpu: Gpu, spec: ModelSpec, weights: ModelWeights, buffers: NormBuffers) {
    this.#gpu = gpu
    this.#spec = spec
    this.#weights = weights
    this.#buffers = buffers
  }

  /**
   * Turns the magnitudes of `groups` in a slot into row scales. Matrices and table entries are on the device already;
   * resolves when it is done. One call at a time. @throws GpuOutOfMemoryError, ShaderError, GpuLostError
   */
  async apply(slot: number, groups: readonly PackedGroup[]): Promise<void> {
    const wanted = groups.filter(({ projections }) => projections.some((one) => one?.rowScaleOffset != null))
    if (wanted.length === 0) return
    this.#shared ??= await this.#prepare()
    const shared = this.#shared
    let work = 0
    for (const packed of wanted) {
      const { shards, cols } = this.#weights.layers[packed.layer]!.matrices[packed.group]
      const rank = Math.max(...packed.projections.map((one) => one?.paddedRank ?? 0))
      const rowWork = cols * (rank + 1)
      const rows = Math.max(1, Math.floor(SLICE_WORK / rowWork / ROW_STEP)) * ROW_STEP
      for (const shard of shards) {
        const kernel = await this.#kernel(shared, packed, shard)
        for (let first = 0; first < shard.rows; first += rows) {
          const count = Math.min(rows, shard.rows - first)
          this.#gpu.write(shared.job, 0, doraNormJob(slot, first, count))
          const recorder = this.#gpu.recorder()
          recorder.dispatch(kernel, doraNormGrid(this.#gpu.can, count))
          recorder.submit()
          work += count * rowWork
          if (work < SLICE_WORK) continue
          await this.#gpu.idle()
          work = 0
        }
      }
    }
    await this.#gpu.idle()
  }

  close(): void {
    this.#shared?.params.destroy()
    this.#shared?.job.destroy()
  }

  async #prepare(): Promise<Shared> {
    const { numLayers } = this.#spec
    const groups = this.#weights.layers.flatMap(({ matrices }, layer) =>
      GROUPS.map((group) => ({ layer, group, shards: matrices[group].shards })),
    )
    const count = groups.reduce((sum, { shards }) => sum + shards.length, 0)
    const job = await this.#gpu.allocate({ label: 'DoRA norms, which rows', purpose: 'params', byteLength: 16 })
    try {
      const params = await ParamArena.create(this.#gpu, count)
      const shapes = new Map<MatrixShard, GPUBufferBinding>()
      for (const { layer, group, shards } of groups) {
        const outs = GROUP_PROJECTIONS[group].map((projection) => projectionShape(this.#spec, projection).out)
        const place = { layer, numLayers, group: GROUPS.indexOf(group), in: groupShape(this.#spec, group).in, outs }
        for (const shard of shards) {
          shapes.set(shard, params.add(doraNormParams({ ...place, rowStart: shard.rowStart })))
        }
      }
      await params.upload()
      return { params: params.buffer, job, shapes, kernels: new Map() }
    } catch (error) {
      job.destroy()
      throw error
    }
  }

  async #kernel({ shapes, kernels, job }: Shared, packed: PackedGroup, shard: MatrixShard): Promise<BoundKernel> {
    const { layer, group, dtype } = packed
    const key = `${layer} ${group} ${shard.rowStart} ${dtype}`
    const bound = kernels.get(key)
    if (bound) return bound
    const matrix = this.#weights.layers[layer]!.matrices[group]
    const { definition, specialisation } = doraNormKernel(this.#gpu.can, matrix.dtype, [dtype])
    const kernel = await this.#gpu.kernel(definition, specialisation)
    const made = kernel.bind(
      {
        params: shapes.get(shard)!,
        job,
        table: this.#buffers.table,
        w: shard.buffer,
        slab: this.#buffers.slabOf(layer),
      },
      `dora norm ${group}`,
    )
    kernels.set(key, made)
    return made
  }
}
