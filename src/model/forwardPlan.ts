/**
 * Everything the forward pass dispatches, bound once at load: per layer its kernels with their buffers and params, so a
 * step only chooses grids.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { BoundKernel } from '../gpu/kernel.ts'
import type { Tracked } from '../gpu/ledger.ts'
import { type Activations, downColumns, downRows, type StepLimits } from './activations.ts'
import { entryPlace, gainPlace, type TableGroup } from './adapterTable.ts'
import { type AdapterFeature, type Buffers, type DeferredKernel, DeferredKernels } from './deferredKernels.ts'
import { compileForward, type ForwardKernels, type NormStage, normVariants } from './forwardKernels.ts'
import { addNormKernel, addNormParams } from './kernels/addNorm.ts'
import { attentionParams } from './kernels/attention.ts'
import type { KernelChoice } from './kernels/choice.ts'
import { embedParams } from './kernels/embed.ts'
import { embedDownKernel, embedDownParams } from './kernels/embedDown.ts'
import type { TileRows } from './kernels/includes.ts'
import { loraExpandParams } from './kernels/loraExpand.ts'
import { loraScaleBiasParams } from './kernels/loraScaleBias.ts'
import { loraShrinkParams } from './kernels/loraShrink.ts'
import { matmulParams, type RowsPerTeam } from './kernels/matmul.ts'
import { ownEmbedKernel, ownEmbedParams } from './kernels/ownEmbed.ts'
import { ownHeadKernel, ownHeadParams } from './kernels/ownHead.ts'
import { ropeKvKernel, ropeKvParams } from './kernels/ropeKv.ts'
import { siluMulParams } from './kernels/siluMul.ts'
import type { KvCache } from './kvCache.ts'
import type { LoraGroup } from './loraPlan.ts'
import type { Matrix } from './matrix.ts'
import { ParamArena } from './paramArena.ts'
import { GROUP_PROJECTIONS, GROUPS, type Group, groupShape, type ModelSpec, projectionShape } from './spec.ts'
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
}

/** A matrix times rows: one dispatch per shard, in the variant for the step's number of rows. */
export interface MatmulPlan {
  readonly shards: readonly { readonly outputs: number; readonly byRows: ReadonlyMap<RowsPerTeam, BoundKernel> }[]
}

/** A projection group: the base matmul, and what adapters add behind it. */
export interface GroupPlan {
  readonly group: Group
  readonly base: MatmulPlan
  readonly lora: LoraGroup
}

/** What adapters do to the embedding and the output layer. */
export interface OuterPlan {
  readonly ownEmbed: DeferredKernel
  readonly embedDown: DeferredKernel
  readonly embedLora: LoraGroup
  readonly ownHead: DeferredKernel
  readonly headLora: LoraGroup
}

/** A kernel that normalises: as the base does, and for steps with adapters that bring gains. */
export interface NormPlan {
  readonly base: BoundKernel
  readonly own: DeferredKernel
}

export interface LayerPlan {
  readonly inputNorm: NormPlan
  /** Null `own` where the model does not normalise q and k. */
  readonly ropeKv: { readonly base: BoundKernel; readonly own: DeferredKernel | null }
  readonly attention: BoundKernel
  readonly attentionMerge: BoundKernel
  readonly postNorm: NormPlan
  readonly activation: BoundKernel
  readonly groups: Readonly<Record<Group, GroupPlan>>
}

export interface ForwardPlan {
  readonly embed: readonly BoundKernel[]
  readonly layers: readonly LayerPlan[]
  readonly finalNorm: NormPlan
  readonly lmHead: MatmulPlan
  readonly outer: OuterPlan
  /** What waits for adapters of other kinds. */
  readonly deferred: DeferredKernels
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

/** The widest split of any group: `down` is made for it. The output layer has the inputs of attn_in. */
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
  const kernels = await compileForward(gpu, parts.spec, parts.weights, parts.kv.dtype)
  const { spec, weights } = parts
  const shards = weights.embed.shards.length + weights.lmHead.shards.length
  const matrices = weights.layers.flatMap(({ matrices: each }) => GROUPS.map((group) => each[group].shards.length))
  const params = await ParamArena.create(
    gpu,
    16 + shards + spec.numLayers * 20 + matrices.reduce((sum, count) => sum + count, 0),
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

class Binder {
  readonly #gpu: Gpu
  readonly #parts: ForwardParts
  readonly #at: Activations
  readonly #rope: Tracked
  readonly #kernels: ForwardKernels
  readonly #params: ParamArena
  readonly #deferred: DeferredKernels

  constructor(
    gpu: Gpu,
    parts: ForwardParts,
    activations: Activations,
    rope: Tracked,
    kernels: ForwardKernels,
    params: ParamArena,
  ) {
    this.#gpu = gpu
    this.#parts = parts
    this.#at = activations
    this.#rope = rope
    this.#kernels = kernels
    this.#params = params
    this.#deferred = new DeferredKernels(gpu)
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
      finalNorm: this.#norm('final', spec.numLayers, weights.finalNorm, last.biases.mlp_out, lastNormed),
      lmHead: this.#matmul(weights.lmHead, lastNormed, logits, spec.vocabSize, 'logits', 'lm_head'),
      outer: this.#outer(),
      deferred: this.#deferred,
      params: this.#params.buffer,
    }
  }

  #layer(layer: number): LayerPlan {
    const { spec, weights, kv } = this.#parts
    const { normed, qkv, attended, delta, gateUp, activated, partials } = this.#at
    const { step } = this.#parts
    const { inputNorm, postNorm, biases } = weights.layers[layer]!
    const { keys, values } = kv.layers[layer]!
    const shape = { heads: spec.numHeads, kvHeads: spec.numKvHeads, headDim: spec.headDim }
    const attention = this.#params.add(attentionParams(shape, spec.slidingWindows[layer]!))
    const before = layer > 0 ? weights.layers[layer - 1]!.biases.mlp_out : null
    return {
      inputNorm: this.#norm(layer > 0 ? 'attn' : 'first', layer, inputNorm, before, normed),
      ropeKv: this.#ropeKv(layer),
      attention: this.#kernels.attention.bind({ params: attention, step, qkv, keys, values, out: attended, partials }),
      attentionMerge: this.#kernels.attentionMerge.bind({ params: attention, step, partials, out: attended }),
      postNorm: this.#norm('mlp', layer, postNorm, biases.attn_out, normed),
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

  #norm(stage: NormStage, layer: number, gain: Vector, bias: Vector | null, normed: Tracked): NormPlan {
    const { spec, step } = this.#parts
    const { delta, residual } = this.#at
    const name = ({ first: 'input', attn: 'input', mlp: 'post', final: 'final' } as const)[stage]
    const shape = { hidden: spec.hiddenSize, eps: spec.normEps }
    const params = this.#params.add(addNormParams(shape, gainPlace(spec, layer, name)))
    const buffers = { params, step, gain, delta, bias: bias ?? gain, residual, normed }
    const label = `${name} norm`
    const choice = addNormKernel(this.#gpu.can, { ...normVariants(spec)[stage], ownGain: true })
    return { base: this.#kernels[stage].bind(buffers, label), own: this.#ownGains(choice, layer, buffers, label) }
  }

  #ropeKv(layer: number): LayerPlan['ropeKv'] {
    const { spec, weights, kv, step } = this.#parts
    const { inputNorm, qNorm, kNorm, biases } = weights.layers[layer]!
    const { keys, values } = kv.layers[layer]!
    const shape = { heads: spec.numHeads, kvHeads: spec.numKvHeads, headDim: spec.headDim, eps: spec.normEps }
    const at = (vector: Vector | null): number => (vector ?? inputNorm).offset ?? 0
    const vectors = { bias: at(biases.attn_in), qGain: at(qNorm), kGain: at(kNorm) }
    const buffers = {
      params: this.#params.add(ropeKvParams(shape, vectors, gainPlace(spec, layer, 'q'))),
      step,
      qkv: this.#at.qkv,
      vectors: { buffer: inputNorm.buffer },
      rope: this.#rope,
      keys,
      values,
    }
    const variant = { bias: spec.bias.qkv, qkNorm: true, ownGain: true, cache: kv.dtype }
    const own = spec.qkNorm ? this.#ownGains(ropeKvKernel(this.#gpu.can, variant), layer, buffers, 'rope_kv') : null
    return { base: this.#kernels.ropeKv.bind(buffers), own }
  }

  /** The same kernel for steps with adapters that bring gains. */
  #ownGains(choice: KernelChoice, layer: number, buffers: Buffers, label: string): DeferredKernel {
    const { adapters } = this.#parts
    const bound = { ...buffers, table: adapters.table, slab: adapters.slabOf(layer) }
    return this.#deferred.plan({ feature: 'ownNorms', choice, buffers: bound, label })
  }

  #group(layer: number, group: Group, x: Tracked, y: Tracked): GroupPlan {
    const { spec, weights } = this.#parts
    const { in: inputs, out } = groupShape(spec, group)
    const outs = GROUP_PROJECTIONS[group].map((projection) => projectionShape(spec, projection).out)
    return {
      group,
      base: this.#matmul(weights.layers[layer]!.matrices[group], x, y, out, 'all', group),
      lora: this.#lora(group, layer, { in: inputs, outs, x, y, splits: shrinkSplits(this.#gpu, inputs) }),
    }
  }

  /** `layer` is of no account for what is outside the layers. */
  #lora(
    group: TableGroup,
    layer: number,
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
    const { spec, adapters, step, limits } = this.#parts
    const { down } = this.#at
    const { x, y, outs, splits, tiles = 'rows' } = shape
    const place = entryPlace(spec, layer, group)
    const columns = downColumns(limits.maxLoraRank)
    const where = { ...place, columns, rowCapacity: downRows(limits), splits, tiles }
    const common = { step, table: adapters.table, slab: adapters.slabOf(place.layer) }
    return {
      label: group,
      shrink: x && { params: this.#params.add(loraShrinkParams({ ...where, in: shape.in })), ...common, x, down },
      expand: { params: this.#params.add(loraExpandParams({ ...where, outs })), ...common, down, y },
      scaleBias: { params: this.#params.add(loraScaleBiasParams({ ...where, outs })), ...common, y },
      shrinkSplits: splits,
      outs,
    }
  }

  #outer(): OuterPlan {
    const { spec, adapters, step, registers, limits } = this.#parts
    const { residual, down, lastNormed, logits } = this.#at
    const { hiddenSize: hidden, vocabSize: vocab, numLayers } = spec
    const common = { step, table: adapters.table, slab: adapters.slabOf(numLayers) }
    const defer = (feature: AdapterFeature, choice: KernelChoice, params: Uint32Array<ArrayBuffer>, buffers: Buffers) =>
      this.#deferred.plan({
        feature,
        choice,
        buffers: { params: this.#params.add(params), ...common, ...buffers },
        label: choice.definition.name,
      })
    const embedding = entryPlace(spec, numLayers, 'embedding')
    const head = entryPlace(spec, numLayers, 'head')
    const columns = downColumns(limits.maxLoraRank)
    const splits = shrinkSplits(this.#gpu, hidden)
    return {
      ownEmbed: defer('ownEmbedding', ownEmbedKernel(), ownEmbedParams({ ...embedding, hidden }), {
        registers,
        residual,
      }),
      embedDown: defer('embeddingLora', embedDownKernel(), embedDownParams({ ...embedding, columns }), {
        registers,
        down,
      }),
      embedLora: this.#lora('embedding', numLayers, { in: vocab, outs: [hidden], x: null, y: residual, splits: 1 }),
      ownHead: defer('ownHead', ownHeadKernel(this.#gpu.can), ownHeadParams({ ...head, in: hidden, vocab }), {
        x: lastNormed,
        y: logits,
      }),
      headLora: this.#lora('head', numLayers, {
        in: hidden,
        outs: [vocab],
        x: lastNormed,
        y: logits,
        splits,
        tiles: 'logits',
      }),
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
