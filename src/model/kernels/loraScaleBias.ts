/** Host half of lora_scale_bias.wgsl: what some kinds of adapter do to a projection after B A x has been added. */

import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import { adapterText } from './adapterText.ts'
import { type KernelChoice, PLAIN_WORKGROUP, paramWords } from './choice.ts'
import { LORA_TABLE_INCLUDE, STEP_INCLUDE, TILES_WORD, type TileRows } from './includes.ts'

const definition: KernelDefinition = {
  name: 'lora_scale_bias',
  source: adapterText('lora_scale_bias'),
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'table', access: 'read' }, //  entries of (slot, layer, group)
    { name: 'slab', access: 'read' }, //   pages of adapters
    { name: 'y', access: 'write' }, //     [rows, sum of outs]; changed in place
  ],
}

/** Serves adapters of every element type: their vectors are f32. */
export function loraScaleBiasKernel(): KernelChoice {
  return {
    definition,
    specialisation: { includes: { step: STEP_INCLUDE, lora_table: LORA_TABLE_INCLUDE } },
  }
}

export interface LoraOutputShape {
  /** Width of each projection of the group, in their order; multiples of 4, at most three. */
  readonly outs: readonly number[]
  readonly layer: number
  readonly numLayers: number
  /** Index of the group in GROUPS, or of what is outside the layers. */
  readonly group: number
  /** Tiles of the step's rows (the default), or of its logits rows. */
  readonly tiles?: TileRows
}

export function loraScaleBiasParams(shape: LoraOutputShape): Uint32Array<ArrayBuffer> {
  const { outs, layer, numLayers, group } = shape
  const [a = 0, b = 0, c = 0] = outs.map((out) => out / 4)
  return paramWords(a, b, c, layer, numLayers, group, TILES_WORD[shape.tiles ?? 'rows'])
}

/** @param tiles as the step's tables count them */
export function loraScaleBiasGrid(outs: readonly number[], tiles: number): Grid {
  const vectors = outs.reduce((sum, out) => sum + out, 0) / 4
  return [Math.ceil(vectors / PLAIN_WORKGROUP), tiles]
}
