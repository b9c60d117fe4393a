/** What stands before and behind the layers, bound: the embedding, the output layer, and what adapters do to either. */
import type { BoundKernel } from '../gpu/kernel.ts'
import type { Tracked } from '../gpu/ledger.ts'
import { downColumns } from './activations.ts'
import { entryPlace } from './adapterTable.ts'
import type { DeferredKernel, DeferredKernels } from './deferredKernels.ts'
import { Binder, type ForwardBinding, type MatmulPlan, shrinkSplits } from './forwardPlan.ts'
import { embedParams } from './kernels/embed.ts'
import { embedDownKernel, embedDownParams } from './kernels/embedDown.ts'
import { ownEmbedKernel, ownEmbedParams } from './kernels/ownEmbed.ts'
import { ownHeadKernel, ownHeadParams } from './kernels/ownHead.ts'
import { type LoraGroup, LoraPlan } from './loraPlan.ts'

export interface OuterPlan {
  readonly embed: readonly BoundKernel[]
  readonly ownEmbed: DeferredKernel
  readonly embedDown: DeferredKernel
  readonly embedLora: LoraGroup
  readonly lmHead: MatmulPlan
  readonly ownHead: DeferredKernel
  readonly headLora: LoraGroup
  readonly lora: LoraPlan
  /** What waits for adapters of other kinds. */
  readonly deferred: DeferredKernels
  readonly params: Tracked
}

/** @throws GpuOutOfMemoryError, with nothing left allocated */
export async function planOuter(binding: ForwardBinding): Promise<OuterPlan> {
  const { embed, lmHead } = binding.parts.weights
  return await Binder.run(binding, 16 + embed.shards.length + lmHead.shards.length, bindOuter)
}

function bindOuter(binder: Binder): OuterPlan {
  const { gpu, parts, activations, kernels } = binder.binding
  const { spec, weights, step, registers, limits } = parts
  const { residual, down, lastNormed, logits } = activations
  const { hiddenSize: hidden, vocabSize: vocab } = spec
  const embedding = entryPlace(spec, 0, 'embedding')
  const head = entryPlace(spec, 0, 'head')
  const columns = downColumns(limits.maxLoraRank)
  const ownEmbed = ownEmbedParams({ ...embedding, hidden })
  const embedDown = embedDownParams({ ...embedding, columns })
  const ownHead = ownHeadParams({ ...head, in: hidden, vocab })
  const embedLora = binder.lora('embedding', 0, { in: vocab, outs: [hidden], x: null, y: residual, splits: 1 })
  const headLora = binder.lora('head', 0, {
    in: hidden,
    outs: [vocab],
    x: lastNormed,
    y: logits,
    splits: shrinkSplits(gpu, hidden),
    tiles: 'logits',
  })
  return {
    embed: weights.embed.shards.map(({ buffer, rowStart, rows }) =>
      kernels.embed.bind({
        params: binder.params.add(embedParams({ hidden, shardStart: rowStart, shardRows: rows })),
        step,
        registers,
        table: buffer,
        residual,
      }),
    ),
    ownEmbed: binder.defer('ownEmbedding', ownEmbedKernel(), ownEmbed, { registers, residual }),
    embedDown: binder.defer('embeddingLora', embedDownKernel(), embedDown, { registers, down }),
    embedLora,
    lmHead: binder.matmul(weights.lmHead, lastNormed, logits, vocab, 'logits', 'lm_head'),
    ownHead: binder.defer('ownHead', ownHeadKernel(gpu.can, parts.activationDtype), ownHead, {
      x: lastNormed,
      y: logits,
    }),
    headLora,
    lora: new LoraPlan(gpu, binder.binding.tuned, [embedLora, headLora], parts.activationDtype),
    deferred: binder.deferred,
    params: binder.params.buffer,
  }
}
