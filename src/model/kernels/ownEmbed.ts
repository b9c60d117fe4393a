/** Host half of own_embed.wgsl: rows of the embedding that adapters bring, in place of the base's. */

import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import { adapterText } from './adapterText.ts'
import { type KernelChoice, PLAIN_WORKGROUP, paramWords } from './choice.ts'
import { LORA_SLAB_INCLUDE, LORA_TABLE_INCLUDE, REGISTERS_INCLUDE, STEP_INCLUDE } from './includes.ts'

const definition: KernelDefinition = {
  name: 'own_embed',
  source: adapterText('own_embed'),
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'table', access: 'read' }, //      entries of (slot, layer, group)
    { name: 'slab', access: 'read' }, //       pages of adapters
    { name: 'registers', access: 'read' }, //  [maxSpans]
    { name: 'residual', access: 'write' }, //  [rows, hidden]
  ],
}

/** Serves adapters of every element type. */
export function ownEmbedKernel(): KernelChoice {
  return {
    definition,
    specialisation: {
      includes: {
        step: STEP_INCLUDE,
        registers: REGISTERS_INCLUDE,
        lora_table: LORA_TABLE_INCLUDE,
        lora_slab: LORA_SLAB_INCLUDE,
      },
    },
  }
}

export interface OwnEmbedShape {
  readonly hidden: number
  readonly layer: number
  readonly numLayers: number
  readonly group: number
}

export function ownEmbedParams({ hidden, layer, numLayers, group }: OwnEmbedShape): Uint32Array<ArrayBuffer> {
  return paramWords(hidden / 4, layer, numLayers, group)
}

/** @param tiles as the step's tables count them */
export function ownEmbedGrid(hidden: number, tiles: number): Grid {
  return [Math.ceil(hidden / 4 / PLAIN_WORKGROUP), tiles]
}
