/**
 * The forward pass of one step, recorded in the order in which it is computed. Reads the step's tables and the KV
 * cache, leaves logits for the rows that want them. The base-only step and the mixed step are the same story; in the
 * mixed one a LoRA shrink and expand, and where an adapter has them its scales and biases, stand behind each projection
 * group, before anything reads the projection. Bias, activation, rope and residual come after, in kernels both steps
 * share, so a base row has the same bits in either.
 */
import { invariant } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { BoundKernel } from '../gpu/kernel.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { StepRecorder } from '../gpu/recorder.ts'
import { allocateActivations } from './activations.ts'
import { type AdapterUse, featuresOf, type GroupUse, hasScalesOrBiases } from './adapterUse.ts'
import { compileForward } from './forwardKernels.ts'
import {
  type ForwardBinding,
  type ForwardParts,
  type MatmulPlan,
  maxShrinkSplits,
  type NormPlan,
} from './forwardPlan.ts'
import { addNormGrid } from './kernels/addNorm.ts'
import { attentionGrid, attentionMergeGrid, attentionSplits } from './kernels/attention.ts'
import { embedGrid } from './kernels/embed.ts'
import { embedDownGrid } from './kernels/embedDown.ts'
import { loraExpandGrid } from './kernels/loraExpand.ts'
import { loraScaleBiasGrid } from './kernels/loraScaleBias.ts'
import { loraShrinkGrid } from './kernels/loraShrink.ts'
import { matmulGrid } from './kernels/matmul.ts'
import { ownEmbedGrid } from './kernels/ownEmbed.ts'
import { ownHeadGrid } from './kernels/ownHead.ts'
import { ropeKvGrid } from './kernels/ropeKv.ts'
import { siluMulGrid } from './kernels/siluMul.ts'
import { type KernelTuning, RUN_KINDS, rowClass } from './kernels/tuning.ts'
import { baseLayers, type LayerList } from './layerList.ts'
import { LayerPlans } from './layerPlans.ts'
import { type GroupPlan, type LayerPlan, type LayersPlan, planLayers } from './layersPlan.ts'
import type { LoraGroup, LoraPlan } from './loraPlan.ts'
import { type OuterPlan, planOuter } from './outerPlan.ts'
import { ropeTable } from './rope.ts'
import type { ModelSpec } from './spec.ts'
import type { StepShape } from './stepTables.ts'
import { TunedKernels } from './tunedKernels.ts'

export class ForwardPass {
  readonly #binding: ForwardBinding
  readonly #outer: OuterPlan
  readonly #layers: LayerPlans
  readonly #base: LayerList

  private constructor(binding: ForwardBinding, outer: OuterPlan, layers: LayerPlans, base: LayerList) {
    this.#binding = binding
    this.#outer = outer
    this.#layers = layers
    this.#base = base
  }

  /** @throws GpuOutOfMemoryError, ShaderError; nothing is left allocated then. */
  static async create(gpu: Gpu, parts: ForwardParts, tuning?: KernelTuning): Promise<ForwardPass> {
    const { spec, limits, weights, kv, activationDtype } = parts
    const made: Tracked[] = []
    try {
      const activations = await allocateActivations(gpu, spec, limits, maxShrinkSplits(gpu, spec), activationDtype)
      made.push(...Object.values(activations))
      const angles = ropeTable(spec, limits.maxModelLen)
      const rope = await gpu.allocate({ label: 'rope angles', purpose: 'tables', byteLength: angles.byteLength })
      made.push(rope)
      await gpu.upload(rope, 0, new Uint8Array(angles.buffer))
      const tuned = new TunedKernels(gpu, tuning)
      const dtypes = { cache: kv.dtype, activations: activationDtype }
      const kernels = await compileForward(gpu, spec, weights, dtypes, tuned)
      const binding = { gpu, parts, activations, rope, kernels, tuned }
      const outer = await planOuter(binding)
      made.push(outer.params)
      const layers = new LayerPlans((list) => planLayers(binding, list))
      const base = baseLayers(spec)
      await layers.hold(base)
      return new ForwardPass(binding, outer, layers, base)
    } catch (error) {
      for (const buffer of made) buffer.destroy()
      throw error
    }
  }

  /** f32 [logits rows, vocabSize], in the order of the step's logits rows. */
  get logits(): Tracked {
    return this.#binding.activations.logits
  }

  /** Those that can be tuned: who has others may add them, and adopt() exchanges them too. */
  get tuned(): TunedKernels {
    return this.#binding.tuned
  }

  get tuning(): KernelTuning {
    return this.#binding.tuned.tuning
  }

  /** Steps go on with the old kernels until those for `tuning` are there. @throws ShaderError, GpuLostError */
  adopt(tuning: KernelTuning): Promise<void> {
    return this.#binding.tuned.adopt(tuning)
  }

  /**
   * To be awaited before a step names an adapter that does this. What was made for it stays until the function is called
   * that it resolves to; no step may name the adapter from then on.
   * @throws GpuOutOfMemoryError, ShaderError, GpuLostError
   */
  async prepareAdapter(use: AdapterUse): Promise<() => void> {
    const list = use.layers ?? this.#base
    const layers = await this.#layers.hold(list)
    try {
      await Promise.all([prepare(this.#outer, use), prepare(layers, use)])
    } catch (error) {
      this.#layers.release(list)
      throw error
    }
    return () => this.#layers.release(list)
  }

  /** See attentionSplits. */
  splitsFor(rows: number, longestContext: number): number {
    return attentionSplits(rows, longestContext, this.tuning.splits)
  }

  /** Appends the whole pass. All rows run the layers of `use`, which else is ignored in a step without tiles. */
  record(recorder: StepRecorder, shape: StepShape, use: AdapterUse): void {
    const plan = this.#layers.get(use.layers ?? this.#base)
    this.#embed(recorder, shape, use)
    for (const layer of plan.layers) this.#layer(recorder, plan, layer, shape, use)
    this.#logits(recorder, plan, shape, use)
  }

  close(): void {
    const { activations, rope } = this.#binding
    for (const buffer of Object.values(activations) as Tracked[]) buffer.destroy()
    rope.destroy()
    this.#outer.params.destroy()
    this.#layers.close()
  }

  get #spec(): ModelSpec {
    return this.#binding.parts.spec
  }

  #layer(recorder: StepRecorder, plan: LayersPlan, layer: LayerPlan, shape: StepShape, use: AdapterUse): void {
    const { can } = this.#binding.gpu
    const { numHeads: heads, numKvHeads: kvHeads, headDim, intermediateSize } = this.#spec
    const { rows, splits } = shape
    const attention = { heads, kvHeads, headDim }
    const { attn_in, attn_out, mlp_in, mlp_out } = layer.groups

    recorder.dispatch(this.#norm(plan, layer.inputNorm, shape, use), addNormGrid(can, rows))
    this.#project(recorder, plan, attn_in, shape, use)
    recorder.dispatch(this.#norm(plan, layer.ropeKv, shape, use), ropeKvGrid(can, attention, rows))
    for (const of of RUN_KINDS) {
      const count = shape[of] ?? 0
      const variant = { of, tuning: this.tuning.attention[of] }
      if (count > 0) recorder.dispatch(layer.attention[of], attentionGrid(can, attention, variant, count, splits))
    }
    if (splits > 1) recorder.dispatch(layer.attentionMerge, attentionMergeGrid(attention, rows))
    this.#project(recorder, plan, attn_out, shape, use)

    recorder.dispatch(this.#norm(plan, layer.postNorm, shape, use), addNormGrid(can, rows))
    this.#project(recorder, plan, mlp_in, shape, use)
    recorder.dispatch(layer.activation, siluMulGrid(intermediateSize, rows))
    this.#project(recorder, plan, mlp_out, shape, use)
  }

  /** With gains of adapters in the steps that have such, as it is in all others: a row of the base gets the same bits. */
  #norm(
    { deferred }: LayersPlan,
    { base, own }: NormPlan | LayerPlan['ropeKv'],
    { tiles }: StepShape,
    { norms }: AdapterUse,
  ): BoundKernel {
    return tiles > 0 && norms && own ? deferred.get(own) : base
  }

  /** A projection group: the base for all rows, then the adapters for the rows in tiles. */
  #project(
    recorder: StepRecorder,
    { lora }: LayersPlan,
    { group, base, lora: adapters }: GroupPlan,
    shape: StepShape,
    use: AdapterUse,
  ): void {
    this.#matmul(recorder, base, shape.rows)
    this.#lora(recorder, lora, adapters, shape.tiles, use.groups[group])
  }

  /** What adapters add to the rows of their tiles, in `down` already where the group has no shrink. */
  #lora(
    recorder: StepRecorder,
    plan: LoraPlan,
    group: LoraGroup,
    tiles: number,
    { rankSum, scalesOrBiases }: GroupUse,
  ): void {
    if (tiles === 0) return
    const { can } = this.#binding.gpu
    const kernels = plan.of(group)
    if (rankSum > 0) {
      invariant(kernels?.products, 'A step names an adapter whose element types were not prepared')
      const { shrink, expand } = kernels.products
      if (shrink) recorder.dispatch(shrink, loraShrinkGrid(can, rankSum, tiles, group.shrinkSplits, this.tuning.shrink))
      recorder.dispatch(expand, loraExpandGrid(can, group.outs, tiles, this.tuning.expand))
    }
    if (scalesOrBiases) {
      invariant(kernels?.scaleBias, 'A step names an adapter whose row scales or biases were not prepared')
      recorder.dispatch(kernels.scaleBias, loraScaleBiasGrid(group.outs, tiles))
    }
  }

  /** The base's rows of the embedding for all, then what adapters change of theirs. */
  #embed(recorder: StepRecorder, { rows, tiles }: StepShape, { embedding }: AdapterUse): void {
    const { embed, ownEmbed, embedDown, embedLora, lora, deferred } = this.#outer
    const { hiddenSize } = this.#spec
    for (const shard of embed) recorder.dispatch(shard, embedGrid(hiddenSize, rows))
    if (tiles === 0) return
    const { ownRows, rankSum } = embedding
    if (ownRows > 0) recorder.dispatch(deferred.get(ownEmbed), ownEmbedGrid(hiddenSize, tiles))
    if (rankSum > 0) recorder.dispatch(deferred.get(embedDown), embedDownGrid(rankSum, tiles))
    this.#lora(recorder, lora, embedLora, tiles, embedding)
  }

  /** The base's logits for all, then what adapters change of theirs. */
  #logits(recorder: StepRecorder, plan: LayersPlan, shape: StepShape, use: AdapterUse): void {
    const { can } = this.#binding.gpu
    const { lmHead, ownHead, headLora, lora, deferred } = this.#outer
    const { logits, headTiles = 0 } = shape
    if (logits === 0) return
    recorder.dispatch(this.#norm(plan, plan.finalNorm, shape, use), addNormGrid(can, logits))
    this.#matmul(recorder, lmHead, logits)
    if (headTiles === 0) return
    const { ownRows } = use.head
    if (ownRows > 0) recorder.dispatch(deferred.get(ownHead), ownHeadGrid(can, ownRows, headTiles))
    this.#lora(recorder, lora, headLora, headTiles, use.head)
  }

  #matmul(recorder: StepRecorder, { shards }: MatmulPlan, rows: number): void {
    const of = rowClass(rows)
    for (const { outputs, byRows } of shards) {
      const grid = matmulGrid(this.#binding.gpu.can, this.tuning.matmul[of], outputs, rows)
      recorder.dispatch(byRows.get(of)!, grid)
    }
  }
}

/** A part of the pass, made ready for adapters that do this. */
async function prepare({ lora, deferred }: OuterPlan | LayersPlan, use: AdapterUse): Promise<void> {
  await Promise.all([lora.prepare(use.dtypes, hasScalesOrBiases(use)), deferred.prepare(featuresOf(use))])
}
