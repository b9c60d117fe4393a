/** Host half of lora_expand.wgsl: what lora_shrink left, times the B matrices, added to the bare projections. */
import source from '../../../shaders/lora_expand.wgsl' with { type: 'text' }
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import { type KernelChoice, PLAIN_WORKGROUP, paramWords } from './choice.ts'
import { LORA_TABLE_INCLUDE, STEP_INCLUDE } from './includes.ts'
import type { LoraDownShape } from './loraShrink.ts'

const definition: KernelDefinition = {
  name: 'lora_expand',
  source,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'table', access: 'read' }, //  entries of (slot, layer, group)
    { name: 'slab', access: 'read' }, //   pages of adapters
    { name: 'down', access: 'read' }, //   [splits, rowCapacity, columns]
    { name: 'y', access: 'write' }, //     [rows, sum of outs]; added to
  ],
}

/** Outputs of an invocation. */
const OUTPUTS = 4

export function loraExpandKernel(): KernelChoice {
  return {
    definition,
    specialisation: {
      constants: { WORKGROUP: PLAIN_WORKGROUP },
      includes: { step: STEP_INCLUDE, lora_table: LORA_TABLE_INCLUDE },
    },
  }
}

export interface LoraExpandShape extends LoraDownShape {
  /** Width of each projection of the group, in their order; multiples of 4, at most three. */
  readonly outs: readonly number[]
  readonly layer: number
  readonly numLayers: number
  /** Index of the group in GROUPS. */
  readonly group: number
}

export function loraExpandParams(shape: LoraExpandShape): Uint32Array<ArrayBuffer> {
  const [a = 0, b = 0, c = 0] = shape.outs.map((out) => out / 4)
  const { layer, numLayers, group, columns, rowCapacity, splits } = shape
  return paramWords(a, b, c, layer, numLayers, group, columns, rowCapacity, splits)
}

/** @param tiles as the step's tables count them */
export function loraExpandGrid(outs: readonly number[], tiles: number): Grid {
  const workgroups = outs.map((out) => Math.ceil(out / OUTPUTS / PLAIN_WORKGROUP))
  return [workgroups.reduce((sum, count) => sum + count, 0), tiles]
}
