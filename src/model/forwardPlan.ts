/**
 * Everything the forward pass dispatches is bound once, with its buffers and params, so that a step only chooses grids.
 * Here is what binds; layersPlan.ts and outerPlan.ts say what there is to bind.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { BoundKernel } from '../gpu/kernel.ts'
import type { Tracked } from '../gpu/ledger.ts'
import { type Activations, downColumns, downRows, type StepLimits } from './activations.ts'
import { entryPlace, gainPlace, slabLayer, type TableGroup } from './adapterTable.ts'
import { type AdapterFeature, type Buffers, type DeferredKernel, DeferredKernels } from './deferredKernels.ts'
import { type ForwardKernels, type NormStage, normVariants } from './forwardKernels.ts'
import { addNormKernel, addNormParams } from './kernels/addNorm.ts'
import type { KernelChoice } from './kernels/choice.ts'
import type { ActivationDtype, TileRows } from './kernels/includes.ts'
import { loraExpandParams } from './kernels/loraExpand.ts'
import { loraScaleBiasParams } from './kernels/loraScaleBias.ts'
import { loraShrinkParams } from './kernels/loraShrink.ts'
import { matmulParams } from './kernels/matmul.ts'
import type { RowClass } from './kernels/tuning.ts'
import type { KvCache } from './kvCache.ts'
import type { LoraGroup } from './loraPlan.ts'
import type { Matrix } from './matrix.ts'
import { ParamArena } from './paramArena.ts'
import { GROUPS, groupShape, type ModelSpec } from './spec.ts'
import type { TunedKernels } from './tunedKernels.ts'
import type { ModelWeights, Vector } from './weights.ts'

/** Where the adapters' matrices are; the adapter pool of lora/. */
export interface AdapterBuffers {
  readonly table: Tracked
  /** `layer` may be the number of layers: what is outside them. */
  slabOf(layer: number): Tracked
}

export interface ForwardParts {
  readonly spec: ModelSpec
  readonly weights: ModelWeights
  readonly kv: KvCache
  readonly adapters: AdapterBuffers
  /** The step's tables. */
  readonly step: Tracked
  /** u32 [maxSpans]: tokens that an earlier step left for the next. */
  readonly registers: Tracked
  readonly limits: StepLimits
  /** Of what projections read. */
  readonly activationDtype: ActivationDtype
}

/** A matrix times rows: one dispatch per shard, in the variant for the step's number of rows. */
export interface MatmulPlan {
  readonly shards: readonly { readonly outputs: number; readonly byRows: ReadonlyMap<RowClass, BoundKernel> }[]
}

/** A kernel that normalises: as the base does, and for steps with adapters that bring gains. */
export interface NormPlan {
  readonly base: BoundKernel
  readonly own: DeferredKernel
}

/** Elements of k that one slice of a split shrink should have at least. */
const SHRINK_SLICE = 512
const MAX_SHRINK_SPLITS = 8

/**
 * Width of the split of k in shrink. Depends on shape and device alone, so an adapter's sums are the same in every
 * batch. A software device gains nothing by more than one: its few cores are busy already.
 */
export function shrinkSplits(gpu: Gpu, inputs: number): number {
  return gpu.can.software ? 1 : Math.max(1, Math.min(MAX_SHRINK_SPLITS, Math.floor(inputs / SHRINK_SLICE)))
}

/** The widest split of any group: `down` is made for it. The output layer has the inputs of attn_in. */
export function maxShrinkSplits(gpu: Gpu, spec: ModelSpec): number {
  return Math.max(...GROUPS.map((group) => shrinkSplits(gpu, groupShape(spec, group).in)))
}

/** What a pass binds its kernels with. */
export interface ForwardBinding {
  readonly gpu: Gpu
  readonly parts: ForwardParts
  readonly activations: Activations
  /** Angles of every position. */
  readonly rope: Tracked
  readonly kernels: ForwardKernels
  readonly tuned: TunedKernels
}

/** Binds kernels; their params go up together at the end. */
export class Binder {
  readonly binding: ForwardBinding
  readonly deferred: DeferredKernels
  readonly params: ParamArena

  private constructor(binding: ForwardBinding, params: ParamArena) {
    this.binding = binding
    this.params = params
    this.deferred = new DeferredKernels(binding.gpu)
  }

  /**
   * @param numParams most kernels with params that `bind` will make
   * @throws GpuOutOfMemoryError
   */
  static async run<T>(binding: ForwardBinding, numParams: number, bind: (binder: Binder) => T): Promise<T> {
    const params = await ParamArena.create(binding.gpu, numParams)
    try {
      const bound = bind(new Binder(binding, params))
      await params.upload()
      return bound
    } catch (error) {
      params.buffer.destroy()
      throw error
    }
  }

  /** `place`: as adapters count layers. */
  norm(stage: NormStage, place: number, gain: Vector, bias: Vector | null, normed: Tracked): NormPlan {
    const { parts, activations, kernels, gpu } = this.binding
    const { spec, step, activationDtype } = parts
    const { delta, residual } = activations
    const name = ({ first: 'input', attn: 'input', mlp: 'post', final: 'final' } as const)[stage]
    const shape = { hidden: spec.hiddenSize, eps: spec.normEps }
    const params = this.params.add(addNormParams(shape, gainPlace(spec, place, name)))
    const buffers = { params, step, gain, delta, bias: bias ?? gain, residual, normed }
    const label = `${name} norm`
    const choice = addNormKernel(gpu.can, { ...normVariants(spec, activationDtype)[stage], ownGain: true })
    const group = name === 'final' ? 'head' : 'attn_in'
    const own = this.ownGains(choice, slabLayer(spec, place, group), buffers, label)
    return { base: kernels[stage].bind(buffers, label), own }
  }

  /** The same kernel for steps with adapters that bring gains. `layer`: see AdapterBuffers. */
  ownGains(choice: KernelChoice, layer: number, buffers: Buffers, label: string): DeferredKernel {
    const { adapters } = this.binding.parts
    const bound = { ...buffers, table: adapters.table, slab: adapters.slabOf(layer) }
    return this.deferred.plan({ feature: 'ownNorms', choice, buffers: bound, label })
  }

  /** A kernel that reads what adapters have outside the layers. */
  defer(
    feature: AdapterFeature,
    choice: KernelChoice,
    params: Uint32Array<ArrayBuffer>,
    buffers: Buffers,
  ): DeferredKernel {
    const { spec, adapters, step } = this.binding.parts
    const common = { step, table: adapters.table, slab: adapters.slabOf(spec.numLayers) }
    const bound = { params: this.params.add(params), ...common, ...buffers }
    return this.deferred.plan({ feature, choice, buffers: bound, label: choice.definition.name })
  }

  /** `place` is of no account for what is outside the layers. */
  lora(
    group: TableGroup,
    place: number,
    shape: {
      readonly in: number
      readonly outs: readonly number[]
      /** Null: `down` comes from elsewhere. */
      readonly x: Tracked | null
      readonly y: Tracked
      readonly splits: number
      readonly tiles?: TileRows
    },
  ): LoraGroup {
    const { spec, adapters, step, limits } = this.binding.parts
    const { down } = this.binding.activations
    const { x, y, outs, splits, tiles = 'rows' } = shape
    const columns = downColumns(limits.maxLoraRank)
    const where = { ...entryPlace(spec, place, group), columns, rowCapacity: downRows(limits), splits, tiles }
    const common = { step, table: adapters.table, slab: adapters.slabOf(slabLayer(spec, place, group)) }
    return {
      label: group,
      shrink: x && { params: this.params.add(loraShrinkParams({ ...where, in: shape.in })), ...common, x, down },
      expand: { params: this.params.add(loraExpandParams({ ...where, outs })), ...common, down, y },
      scaleBias: { params: this.params.add(loraScaleBiasParams({ ...where, outs })), ...common, y },
      shrinkSplits: splits,
      outs,
    }
  }

  matmul(matrix: Matrix, x: Tracked, y: Tracked, outStride: number, rows: 'all' | 'logits', label: string): MatmulPlan {
    const variants = this.binding.kernels.matmul.get(matrix.dtype)!
    const { step } = this.binding.parts
    const shards = matrix.shards.map(({ buffer, rowStart, rows: outputs }) => {
      const shape = { in: matrix.cols, out: outputs, outStart: rowStart, outStride, rows }
      const bindings = { params: this.params.add(matmulParams(shape)), step, w: buffer, x, y }
      const bound = variants.get(1)!.bind(bindings, `matmul ${label}`)
      const byRows = new Map([...variants].map(([rows, kernel]) => [rows, kernel.share(bound)]))
      return { outputs, byRows }
    })
    return { shards }
  }
}
