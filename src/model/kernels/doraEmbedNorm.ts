/** Host half of dora_embed_norm.wgsl: the scales of a DoRA adapter's embedding, one for each of its columns. */
import source from '../../../shaders/dora_embed_norm.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import type { FloatDtype } from '../../weights/dtype.ts'
import { type KernelChoice, paramWords } from './choice.ts'
import { LORA_SLAB_INCLUDE, LORA_TABLE_INCLUDE, WEIGHTS_INCLUDE } from './includes.ts'
import { teamGrid, teamShape } from './team.ts'

const definition: KernelDefinition = {
  name: 'dora_embed_norm',
  source,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'job', access: 'read' }, //       see doraEmbedNormJob()
    { name: 'table', access: 'read' }, //     entries of (slot, layer, group)
    { name: 'w', access: 'read' }, //         [tokens, hidden], a shard of the embedding
    { name: 'slab', access: 'write' }, //     pages of adapters; row scales are changed in place
    { name: 'squares', access: 'write' }, //  [hidden]: sums so far, between jobs
  ],
}

/** Serves adapters of every element type. */
export function doraEmbedNormKernel(can: Capabilities, weights: FloatDtype): KernelChoice {
  const team = teamShape(can)
  return {
    definition,
    specialisation: {
      constants: team.constants,
      includes: {
        team: team.source,
        lora_table: LORA_TABLE_INCLUDE,
        lora_slab: LORA_SLAB_INCLUDE,
        weights: WEIGHTS_INCLUDE[weights],
      },
    },
  }
}

export interface DoraEmbedNormShape {
  readonly hidden: number
  /** Token of the shard's first row. */
  readonly shardStart: number
  readonly layer: number
  readonly numLayers: number
  readonly group: number
}

export function doraEmbedNormParams(shape: DoraEmbedNormShape): Uint32Array<ArrayBuffer> {
  return paramWords(shape.hidden / 4, shape.shardStart, shape.layer, shape.numLayers, shape.group)
}

/** Tokens `first` to `first + count - 1` of a shard, for the adapter in `slot`. */
export function doraEmbedNormJob(job: {
  readonly slot: number
  readonly first: number
  readonly count: number
  /** The first and the last of all jobs of the adapter. */
  readonly begins: boolean
  readonly ends: boolean
}): Uint32Array<ArrayBuffer> {
  return paramWords(job.slot, job.first, job.count, (job.begins ? 1 : 0) + (job.ends ? 2 : 0))
}

export function doraEmbedNormGrid(can: Capabilities, hidden: number): Grid {
  return [teamGrid(can, hidden / 4)]
}
