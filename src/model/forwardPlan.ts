/**
 * Everything the forward pass dispatches, bound once at load: per layer its kernels with their buffers and params, so a
 * step only chooses grids. Pipelines are compiled together, and shared by all layers.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { BoundKernel, Kernel } from '../gpu/kernel.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { FloatDtype } from '../weights/dtype.ts'
import { type Activations, downColumns, type StepLimits } from './activations.ts'
import { addNormKernel, addNormParams } from './kernels/addNorm.ts'
import { attentionKernel, attentionMergeKernel, attentionParams } from './kernels/attention.ts'
import type { KernelChoice } from './kernels/choice.ts'
import { embedKernel, embedParams } from './kernels/embed.ts'
import { loraExpandParams } from './kernels/loraExpand.ts'
import { loraScaleBiasParams } from './kernels/loraScaleBias.ts'
import { loraShrinkParams } from './kernels/loraShrink.ts'
import { matmulKernel, matmulParams, type RowsPerTeam, rowRegimes } from './kernels/matmul.ts'
import { ropeKvKernel, ropeKvParams } from './kernels/ropeKv.ts'
import { siluMulKernel, siluMulParams } from './kernels/siluMul.ts'
import type { KvCache } from './kvCache.ts'
import type { Matrix } from './matrix.ts'
import { ParamArena } from './paramArena.ts'
import { GROUP_PROJECTIONS, GROUPS, type Group, groupShape, type ModelSpec, projectionShape } from './spec.ts'
import type { ModelWeights, Vector } from './weights.ts'

/** Where the adapters' matrices are; the adapter pool of lora/. */
export interface AdapterBuffers {
  readonly table: Tracked
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
}

/** A matrix times rows: one dispatch per shard, in the variant for the step's number of rows. */
export interface MatmulPlan {
  readonly shards: readonly { readonly outputs: number; readonly byRows: ReadonlyMap<RowsPerTeam, BoundKernel> }[]
}

/** A projection group: the base matmul, and what adapters add behind it. */
export interface GroupPlan {
  readonly group: Group
  readonly base: MatmulPlan
  readonly lora: LoraBindings
  readonly shrinkSplits: number
  readonly outs: readonly number[]
}

/** What the LoRA kernels of a group bind, once they exist: see LoraPlan. */
export interface LoraBindings {
  readonly shrink: Readonly<Record<string, Tracked | GPUBufferBinding>>
  readonly expand: Readonly<Record<string, Tracked | GPUBufferBinding>>
  readonly scaleBias: Readonly<Record<string, Tracked | GPUBufferBinding>>
}

export interface LayerPlan {
  readonly inputNorm: BoundKernel
  readonly ropeKv: BoundKernel
  readonly attention: BoundKernel
  readonly attentionMerge: BoundKernel
  readonly postNorm: BoundKernel
  readonly activation: BoundKernel
  readonly groups: Readonly<Record<Group, GroupPlan>>
}

export interface ForwardPlan {
  readonly embed: readonly BoundKernel[]
  readonly layers: readonly LayerPlan[]
  readonly finalNorm: BoundKernel
  readonly lmHead: MatmulPlan
  readonly params: Tracked
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

/** The widest split of any group: `down` is made for it. */
export function maxShrinkSplits(gpu: Gpu, spec: ModelSpec): number {
  return Math.max(...GROUPS.map((group) => shrinkSplits(gpu, groupShape(spec, group).in)))
}

/** @throws GpuOutOfMemoryError, ShaderError */
export async function planForward(
  gpu: Gpu,
  parts: ForwardParts,
  activations: Activations,
  rope: Tracked,
): Promise<ForwardPlan> {
  const kernels = await compile(gpu, parts)
  const { spec, weights } = parts
  const shards = weights.embed.shards.length + weights.lmHead.shards.length
  const matrices = weights.layers.flatMap(({ matrices: each }) => GROUPS.map((group) => each[group].shards.length))
  const params = await ParamArena.create(
    gpu,
    8 + shards + spec.numLayers * 20 + matrices.reduce((sum, count) => sum + count, 0),
  )
  try {
    const plan = new Binder(gpu, parts, activations, rope, kernels, params).bind()
    await params.upload()
    return plan
  } catch (error) {
    params.buffer.destroy()
    throw error
  }
}

interface Kernels {
  readonly embed: Kernel
  readonly firstNorm: Kernel
  readonly attnNorm: Kernel
  readonly mlpNorm: Kernel
  readonly finalNorm: Kernel
  readonly ropeKv: Kernel
  readonly attention: Kernel
  readonly attentionMerge: Kernel
  readonly activation: Kernel
  readonly matmul: ReadonlyMap<FloatDtype, ReadonlyMap<RowsPerTeam, Kernel>>
}

async function compile(gpu: Gpu, { spec, weights }: ForwardParts): Promise<Kernels> {
  const { can } = gpu
  const get = ({ definition, specialisation }: KernelChoice) => gpu.kernel(definition, specialisation)
  const attention = { heads: spec.numHeads, kvHeads: spec.numKvHeads, headDim: spec.headDim }
  const { bias } = spec
  const dtypes = new Set([
    weights.lmHead.dtype,
    ...weights.layers.flatMap(({ matrices }) => GROUPS.map((group) => matrices[group].dtype)),
  ])
  const matmul = [...dtypes].map(async (dtype) => {
    const variants = rowRegimes(can).map(async (rows) => [rows, await get(matmulKernel(can, dtype, rows))] as const)
    return [dtype, new Map(await Promise.all(variants))] as const
  })
  const single = {
    embed: embedKernel(weights.embed.dtype),
    firstNorm: addNormKernel(can, { add: false, bias: false, gather: false }),
    attnNorm: addNormKernel(can, { add: true, bias: bias.mlp, gather: false }),
    mlpNorm: addNormKernel(can, { add: true, bias: bias.o, gather: false }),
    finalNorm: addNormKernel(can, { add: true, bias: bias.mlp, gather: true }),
    ropeKv: ropeKvKernel(can, { bias: bias.qkv, qkNorm: spec.qkNorm }),
    attention: attentionKernel(can, attention),
    attentionMerge: attentionMergeKernel(attention),
    activation: siluMulKernel({ bias: bias.mlp }),
  }
  const compiled = await Promise.all(
    Object.entries(single).map(async ([name, choice]) => [name, await get(choice)] as const),
  )
  return {
    ...(Object.fromEntries(compiled) as Record<keyof typeof single, Kernel>),
    matmul: new Map(await Promise.all(matmul)),
  }
}

class Binder {
  readonly #gpu: Gpu
  readonly #parts: ForwardParts
  readonly #at: Activations
  readonly #rope: Tracked
  readonly #kernels: Kernels
  readonly #params: ParamArena

  constructor(
    gpu: Gpu,
    parts: ForwardParts,
    activations: Activations,
    rope: Tracked,
    kernels: Kernels,
    params: ParamArena,
  ) {
    this.#gpu = gpu
    this.#parts = parts
    this.#at = activations
    this.#rope = rope
    this.#kernels = kernels
    this.#params = params
  }

  bind(): ForwardPlan {
    const { spec, weights } = this.#parts
    const { residual, lastNormed, logits } = this.#at
    const embed = weights.embed.shards.map(({ buffer, rowStart, rows }) =>
      this.#kernels.embed.bind({
        params: this.#params.add(embedParams({ hidden: spec.hiddenSize, shardStart: rowStart, shardRows: rows })),
        step: this.#parts.step,
        registers: this.#parts.registers,
        table: buffer,
        residual,
      }),
    )
    const last = weights.layers.at(-1)!
    return {
      embed,
      layers: weights.layers.map((_, layer) => this.#layer(layer)),
      finalNorm: this.#norm(this.#kernels.finalNorm, weights.finalNorm, last.biases.mlp_out, lastNormed, 'final norm'),
      lmHead: this.#matmul(weights.lmHead, lastNormed, logits, spec.vocabSize, 'logits', 'lm_head'),
      params: this.#params.buffer,
    }
  }

  #layer(layer: number): LayerPlan {
    const { spec, weights, kv } = this.#parts
    const { normed, qkv, attended, delta, gateUp, activated, partials } = this.#at
    const { step } = this.#parts
    const { inputNorm, postNorm, qNorm, kNorm, biases } = weights.layers[layer]!
    const { keys, values } = kv.layers[layer]!
    const shape = { heads: spec.numHeads, kvHeads: spec.numKvHeads, headDim: spec.headDim }
    const attention = this.#params.add(attentionParams(shape, spec.slidingWindows[layer]!))
    const before = layer > 0 ? weights.layers[layer - 1]!.biases.mlp_out : null
    return {
      inputNorm: this.#norm(
        layer > 0 ? this.#kernels.attnNorm : this.#kernels.firstNorm,
        inputNorm,
        before,
        normed,
        'norm',
      ),
      ropeKv: this.#kernels.ropeKv.bind({
        params: this.#params.add(ropeKvParams({ ...shape, eps: spec.normEps })),
        step,
        qkv,
        bias: biases.attn_in ?? inputNorm,
        qGain: qNorm ?? inputNorm,
        kGain: kNorm ?? inputNorm,
        rope: this.#rope,
        keys,
        values,
      }),
      attention: this.#kernels.attention.bind({ params: attention, step, qkv, keys, values, out: attended, partials }),
      attentionMerge: this.#kernels.attentionMerge.bind({ params: attention, step, partials, out: attended }),
      postNorm: this.#norm(this.#kernels.mlpNorm, postNorm, biases.attn_out, normed, 'norm'),
      activation: this.#kernels.activation.bind({
        params: this.#params.add(siluMulParams(spec.intermediateSize)),
        gateUp,
        bias: biases.mlp_in ?? inputNorm,
        act: activated,
      }),
      groups: {
        attn_in: this.#group(layer, 'attn_in', normed, qkv),
        attn_out: this.#group(layer, 'attn_out', attended, delta),
        mlp_in: this.#group(layer, 'mlp_in', normed, gateUp),
        mlp_out: this.#group(layer, 'mlp_out', activated, delta),
      },
    }
  }

  #norm(kernel: Kernel, gain: Vector, bias: Vector | null, normed: Tracked, label: string): BoundKernel {
    const { spec, step } = this.#parts
    const params = this.#params.add(addNormParams({ hidden: spec.hiddenSize, eps: spec.normEps }))
    const { delta, residual } = this.#at
    return kernel.bind({ params, step, gain, delta, bias: bias ?? gain, residual, normed }, label)
  }

  #group(layer: number, group: Group, x: Tracked, y: Tracked): GroupPlan {
    const { spec, weights, adapters, step, limits } = this.#parts
    const { down } = this.#at
    const { in: inputs, out } = groupShape(spec, group)
    const outs = GROUP_PROJECTIONS[group].map((projection) => projectionShape(spec, projection).out)
    const splits = shrinkSplits(this.#gpu, inputs)
    const where = {
      layer,
      numLayers: spec.numLayers,
      group: GROUPS.indexOf(group),
      columns: downColumns(limits.maxLoraRank),
      rowCapacity: limits.maxRows,
      splits,
    }
    const { table } = adapters
    const slab = adapters.slabOf(layer)
    return {
      group,
      base: this.#matmul(weights.layers[layer]!.matrices[group], x, y, out, 'all', group),
      lora: {
        shrink: { params: this.#params.add(loraShrinkParams({ ...where, in: inputs })), step, table, slab, x, down },
        expand: { params: this.#params.add(loraExpandParams({ ...where, outs })), step, table, slab, down, y },
        scaleBias: { params: this.#params.add(loraScaleBiasParams({ ...where, outs })), step, table, slab, y },
      },
      shrinkSplits: splits,
      outs,
    }
  }

  #matmul(
    matrix: Matrix,
    x: Tracked,
    y: Tracked,
    outStride: number,
    rows: 'all' | 'logits',
    label: string,
  ): MatmulPlan {
    const variants = this.#kernels.matmul.get(matrix.dtype)!
    const { step } = this.#parts
    const shards = matrix.shards.map(({ buffer, rowStart, rows: outputs }) => {
      const shape = { in: matrix.cols, out: outputs, outStart: rowStart, outStride, rows }
      const bound = variants
        .get(1)!
        .bind({ params: this.#params.add(matmulParams(shape)), step, w: buffer, x, y }, `matmul ${label}`)
      // The variants have equal layouts, so one bind group serves them all.
      const byRows = new Map([...variants].map(([count, { pipeline }]) => [count, { ...bound, pipeline }]))
      return { outputs, byRows }
    })
    return { shards }
  }
}
