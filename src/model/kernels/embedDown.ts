/** Host half of embed_down.wgsl: the A of adapters with LoRA on the embedding, one of its rows for each token. */

import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import { adapterText } from './adapterText.ts'
import { type KernelChoice, PLAIN_WORKGROUP, paramWords } from './choice.ts'
import { LORA_SLAB_INCLUDE, LORA_TABLE_INCLUDE, REGISTERS_INCLUDE, STEP_INCLUDE } from './includes.ts'

const definition: KernelDefinition = {
  name: 'embed_down',
  source: adapterText('embed_down'),
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'table', access: 'read' }, //  entries of (slot, layer, group)
    { name: 'slab', access: 'read' }, //   pages of adapters
    { name: 'registers', access: 'read' }, //  [maxSpans]
    { name: 'down', access: 'write' }, //  [rowCapacity, columns]: one slice
  ],
}

/** Serves adapters of every element type. */
export function embedDownKernel(): KernelChoice {
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

export interface EmbedDownShape {
  /** Width of `down`. */
  readonly columns: number
  readonly layer: number
  readonly numLayers: number
  readonly group: number
}

export function embedDownParams({ columns, layer, numLayers, group }: EmbedDownShape): Uint32Array<ArrayBuffer> {
  return paramWords(columns / 4, layer, numLayers, group)
}

/**
 * @param columns the largest rank among the adapters in the step
 * @param tiles as the step's tables count them
 */
export function embedDownGrid(columns: number, tiles: number): Grid {
  return [Math.ceil(columns / 4 / PLAIN_WORKGROUP), tiles]
}
