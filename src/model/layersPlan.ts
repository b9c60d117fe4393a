/**
 * The layers of a pass, bound: those of the base, or of an adapter that has a list of its own. The same weights may stand
 * at several places; keys, values and adapters belong to the place.
 */
import type { BoundKernel } from '../gpu/kernel.ts'
import type { Tracked } from '../gpu/ledger.ts'
import { gainPlace } from './adapterTable.ts'
import type { DeferredKernel, DeferredKernels } from './deferredKernels.ts'
import { Binder, type ForwardBinding, type MatmulPlan, type NormPlan, shrinkSplits } from './forwardPlan.ts'
import { attentionParams } from './kernels/attention.ts'
import { ropeKvKernel, ropeKvParams } from './kernels/ropeKv.ts'
import { siluMulParams } from './kernels/siluMul.ts'
import type { RunKind } from './kernels/tuning.ts'
import type { Fold, LayerList } from './layerList.ts'
import { type LoraGroup, LoraPlan } from './loraPlan.ts'
import { GROUP_PROJECTIONS, GROUPS, type Group, groupShape, projectionShape } from './spec.ts'
import type { LayerWeights, Vector } from './weights.ts'

/** A projection group: the base matmul, and what adapters add behind it. */
export interface GroupPlan {
  readonly group: Group
  readonly base: MatmulPlan
  readonly lora: LoraGroup
}

export interface LayerPlan {
  readonly inputNorm: NormPlan
  /** Null `own` where the model does not normalise q and k. */
  readonly ropeKv: { readonly base: BoundKernel; readonly own: DeferredKernel | null }
  readonly attention: Readonly<Record<RunKind, BoundKernel>>
  readonly attentionMerge: BoundKernel
  readonly postNorm: NormPlan
  readonly activation: BoundKernel
  readonly groups: Readonly<Record<Group, GroupPlan>>
}

export interface LayersPlan {
  readonly layers: readonly LayerPlan[]
  /** Behind them: it adds what the last of them leaves. */
  readonly finalNorm: NormPlan
  readonly lora: LoraPlan
  /** What waits for adapters of other kinds. */
  readonly deferred: DeferredKernels
  readonly params: Tracked
}

/** @throws GpuOutOfMemoryError, with nothing left allocated */
export async function planLayers(binding: ForwardBinding, { layers, numFolds }: LayerList): Promise<LayersPlan> {
  const { weights } = binding.parts
  const shards = layers.flatMap((layer) => GROUPS.map((group) => weights.layers[layer]!.matrices[group].shards.length))
  const numParams = 1 + layers.length * 20 + shards.reduce((sum, count) => sum + count, 0)
  return await Binder.run(binding, numParams, (binder) => {
    const { spec } = binding.parts
    const plans = layers.map((layer, index) => {
      const before = index > 0 ? weights.layers[layers[index - 1]!]! : null
      const fold = { fold: Math.floor(index / spec.numLayers), numFolds }
      return planLayer(binder, {
        index,
        fold,
        weights: weights.layers[layer]!,
        before,
        window: spec.slidingWindows[layer]!,
      })
    })
    const { biases } = weights.layers[layers.at(-1)!]!
    const { lastNormed } = binding.activations
    return {
      layers: plans,
      finalNorm: binder.norm('final', spec.numLayers, weights.finalNorm, biases.mlp_out, lastNormed),
      lora: new LoraPlan(
        binding.gpu,
        binding.tuned,
        plans.flatMap(({ groups }) => GROUPS.map((group) => groups[group].lora)),
        binding.parts.activationDtype,
      ),
      deferred: binder.deferred,
      params: binder.params.buffer,
    }
  })
}

/** One of the layers of a pass. */
interface Place {
  /** As adapters and the KV cache count it. */
  readonly index: number
  readonly fold: Fold
  readonly weights: LayerWeights
  /** Those of the layer before it; null for the first. */
  readonly before: LayerWeights | null
  readonly window: number | null
}

function planLayer(binder: Binder, place: Place): LayerPlan {
  const { activations, kernels, parts } = binder.binding
  const { spec, kv, step } = parts
  const { normed, qkv, attended, delta, gateUp, activated, partials } = activations
  const { index, weights, before } = place
  const { inputNorm, postNorm, biases } = weights
  const { keys, values } = kv.layers[index % spec.numLayers]!
  const shape = { heads: spec.numHeads, kvHeads: spec.numKvHeads, headDim: spec.headDim }
  const attention = binder.params.add(attentionParams(shape, place.window, place.fold))
  const runs = kernels.attention.runs.bind({ params: attention, step, qkv, keys, values, out: attended, partials })
  const group = (name: Group, x: Tracked, y: Tracked): GroupPlan => planGroup(binder, place, name, x, y)
  return {
    inputNorm: binder.norm(before ? 'attn' : 'first', index, inputNorm, before?.biases.mlp_out ?? null, normed),
    ropeKv: planRopeKv(binder, place),
    attention: { runs, singles: kernels.attention.singles.share(runs) },
    attentionMerge: kernels.attentionMerge.bind({ params: attention, step, partials, out: attended }),
    postNorm: binder.norm('mlp', index, postNorm, biases.attn_out, normed),
    activation: kernels.activation.bind({
      params: binder.params.add(siluMulParams(spec.intermediateSize)),
      gateUp,
      bias: biases.mlp_in ?? inputNorm,
      act: activated,
    }),
    groups: {
      attn_in: group('attn_in', normed, qkv),
      attn_out: group('attn_out', attended, delta),
      mlp_in: group('mlp_in', normed, gateUp),
      mlp_out: group('mlp_out', activated, delta),
    },
  }
}

function planRopeKv(binder: Binder, { index, fold, weights }: Place): LayerPlan['ropeKv'] {
  const { activations, kernels, parts, rope, gpu } = binder.binding
  const { spec, kv, step } = parts
  const { inputNorm, qNorm, kNorm, biases } = weights
  const home = index % spec.numLayers
  const { keys, values } = kv.layers[home]!
  const shape = {
    heads: spec.numHeads,
    kvHeads: spec.numKvHeads,
    headDim: spec.headDim,
    rotaryDim: spec.rotaryDim,
    eps: spec.normEps,
  }
  const at = (vector: Vector | null): number => (vector ?? inputNorm).offset ?? 0
  const vectors = { bias: at(biases.attn_in), qGain: at(qNorm), kGain: at(kNorm) }
  const buffers = {
    params: binder.params.add(ropeKvParams(shape, vectors, gainPlace(spec, index, 'q'), fold)),
    step,
    qkv: activations.qkv,
    vectors: { buffer: inputNorm.buffer },
    rope,
    keys,
    values,
  }
  const variant = { bias: spec.bias.qkv, qkNorm: true, ownGain: true, cache: kv.dtype }
  const own = spec.qkNorm ? binder.ownGains(ropeKvKernel(gpu.can, variant), home, buffers, 'rope_kv') : null
  return { base: kernels.ropeKv.bind(buffers), own }
}

function planGroup(binder: Binder, { index, weights }: Place, group: Group, x: Tracked, y: Tracked): GroupPlan {
  const { gpu, parts } = binder.binding
  const { in: inputs, out } = groupShape(parts.spec, group)
  const outs = GROUP_PROJECTIONS[group].map((projection) => projectionShape(parts.spec, projection).out)
  return {
    group,
    base: binder.matmul(weights.matrices[group], x, y, out, 'all', group),
    lora: binder.lora(group, index, { in: inputs, outs, x, y, splits: shrinkSplits(gpu, inputs) }),
  }
}
