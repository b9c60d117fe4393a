/**
 * The forward pass of one step, recorded in the order in which it is computed. Reads the step's tables and the KV
 * cache, leaves logits for the rows that want them. The base-only step and the mixed step are the same story; in the
 * mixed one a LoRA shrink and expand, and where an adapter has them its scales and biases, stand behind each projection
 * group, before anything reads the projection. Bias, activation, rope and residual come after, in kernels both steps
 * share, so a base row has the same bits in either.
 */
import { invariant } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { StepRecorder } from '../gpu/recorder.ts'
import { type Activations, allocateActivations, MAX_ROW_SPLITS } from './activations.ts'
import type { AdapterUse } from './adapterUse.ts'
import {
  type ForwardParts,
  type ForwardPlan,
  type GroupPlan,
  type LayerPlan,
  type MatmulPlan,
  maxShrinkSplits,
  planForward,
} from './forwardPlan.ts'
import { addNormGrid } from './kernels/addNorm.ts'
import { ATTENTION_SPLIT, attentionGrid, attentionMergeGrid } from './kernels/attention.ts'
import { embedGrid } from './kernels/embed.ts'
import { loraExpandGrid } from './kernels/loraExpand.ts'
import { loraScaleBiasGrid } from './kernels/loraScaleBias.ts'
import { loraShrinkGrid } from './kernels/loraShrink.ts'
import { matmulGrid, matmulRowsPerTeam } from './kernels/matmul.ts'
import { ropeKvGrid } from './kernels/ropeKv.ts'
import { siluMulGrid } from './kernels/siluMul.ts'
import { LoraPlan } from './loraPlan.ts'
import { ropeTable } from './rope.ts'
import type { ModelSpec } from './spec.ts'
import type { StepShape } from './stepTables.ts'

export class ForwardPass {
  readonly #gpu: Gpu
  readonly #spec: ModelSpec
  readonly #plan: ForwardPlan
  readonly #lora: LoraPlan
  readonly #activations: Activations
  readonly #rope: Tracked

  private constructor(gpu: Gpu, spec: ModelSpec, plan: ForwardPlan, activations: Activations, rope: Tracked) {
    this.#gpu = gpu
    this.#spec = spec
    this.#plan = plan
    this.#lora = new LoraPlan(gpu, plan.layers)
    this.#activations = activations
    this.#rope = rope
  }

  /** @throws GpuOutOfMemoryError, ShaderError; nothing is left allocated then. */
  static async create(gpu: Gpu, parts: ForwardParts): Promise<ForwardPass> {
    const { spec, limits } = parts
    const made: Tracked[] = []
    try {
      const activations = await allocateActivations(gpu, spec, limits, maxShrinkSplits(gpu, spec))
      made.push(...Object.values(activations))
      const angles = ropeTable(spec, limits.maxModelLen)
      const rope = await gpu.allocate({ label: 'rope angles', purpose: 'tables', byteLength: angles.byteLength })
      made.push(rope)
      await gpu.upload(rope, 0, new Uint8Array(angles.buffer))
      return new ForwardPass(gpu, spec, await planForward(gpu, parts, activations, rope), activations, rope)
    } catch (error) {
      for (const buffer of made) buffer.destroy()
      throw error
    }
  }

  /** f32 [logits rows, vocabSize], in the order of the step's logits rows. */
  get logits(): Tracked {
    return this.#activations.logits
  }

  /** To be awaited before a step names an adapter that does this. @throws ShaderError, GpuLostError */
  async prepareAdapter({ dtypes, groups }: AdapterUse): Promise<void> {
    const scaleBias = Object.values(groups).some(({ scalesOrBiases }) => scalesOrBiases)
    await this.#lora.prepare(dtypes, scaleBias)
  }

  /**
   * Pieces of context that attention spreads over teams: many when there are few rows to keep the device busy. The
   * sums are the same for any number.
   */
  splitsFor(rows: number, longestContext: number): number {
    const splits = Math.ceil(longestContext / ATTENTION_SPLIT)
    return rows * splits <= MAX_ROW_SPLITS ? splits : 1
  }

  /** Appends the whole pass. `use` is ignored in a step without tiles. */
  record(recorder: StepRecorder, shape: StepShape, use: AdapterUse): void {
    const { embed, layers, finalNorm, lmHead } = this.#plan
    for (const shard of embed) recorder.dispatch(shard, embedGrid(this.#spec.hiddenSize, shape.rows))
    for (const layer of layers) this.#layer(recorder, layer, shape, use)
    if (shape.logits === 0) return
    recorder.dispatch(finalNorm, addNormGrid(this.#gpu.can, shape.logits))
    this.#matmul(recorder, lmHead, shape.logits)
  }

  close(): void {
    for (const buffer of Object.values(this.#activations) as Tracked[]) buffer.destroy()
    this.#rope.destroy()
    this.#plan.params.destroy()
  }

  #layer(recorder: StepRecorder, layer: LayerPlan, shape: StepShape, use: AdapterUse): void {
    const { can } = this.#gpu
    const { numHeads: heads, numKvHeads: kvHeads, headDim, intermediateSize } = this.#spec
    const { rows, splits } = shape
    const attention = { heads, kvHeads, headDim }
    const { attn_in, attn_out, mlp_in, mlp_out } = layer.groups

    recorder.dispatch(layer.inputNorm, addNormGrid(can, rows))
    this.#project(recorder, attn_in, shape, use)
    recorder.dispatch(layer.ropeKv, ropeKvGrid(can, attention, rows))
    recorder.dispatch(layer.attention, attentionGrid(can, attention, rows, splits))
    if (splits > 1) recorder.dispatch(layer.attentionMerge, attentionMergeGrid(attention, rows))
    this.#project(recorder, attn_out, shape, use)

    recorder.dispatch(layer.postNorm, addNormGrid(can, rows))
    this.#project(recorder, mlp_in, shape, use)
    recorder.dispatch(layer.activation, siluMulGrid(intermediateSize, rows))
    this.#project(recorder, mlp_out, shape, use)
  }

  /** A projection group: the base for all rows, then the adapters for the rows in tiles. */
  #project(recorder: StepRecorder, plan: GroupPlan, { rows, tiles }: StepShape, use: AdapterUse): void {
    this.#matmul(recorder, plan.base, rows)
    if (tiles === 0) return
    const { rankSum, scalesOrBiases } = use.groups[plan.group]
    const lora = this.#lora.of(plan)
    if (rankSum > 0) {
      invariant(lora?.products, 'A step names an adapter whose element types were not prepared')
      const { shrink, expand } = lora.products
      recorder.dispatch(shrink, loraShrinkGrid(this.#gpu.can, rankSum, tiles, plan.shrinkSplits))
      recorder.dispatch(expand, loraExpandGrid(this.#gpu.can, plan.outs, tiles))
    }
    if (scalesOrBiases) {
      invariant(lora?.scaleBias, 'A step names an adapter whose row scales or biases were not prepared')
      recorder.dispatch(lora.scaleBias, loraScaleBiasGrid(plan.outs, tiles))
    }
  }

  #matmul(recorder: StepRecorder, { shards }: MatmulPlan, rows: number): void {
    const rowsPerTeam = matmulRowsPerTeam(this.#gpu.can, rows)
    for (const { outputs, byRows } of shards) {
      recorder.dispatch(byRows.get(rowsPerTeam)!, matmulGrid(this.#gpu.can, rowsPerTeam, outputs, rows))
    }
  }
}
