/** Host half of dora_norm.wgsl: the row scales of a DoRA adapter, once it has come to the device. */
import source from '../../../shaders/dora_norm.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import type { FloatDtype } from '../../weights/dtype.ts'
import { type KernelChoice, paramWords } from './choice.ts'
import { LORA_DTYPES, LORA_SLAB_INCLUDE, LORA_TABLE_INCLUDE, loraDtypeConstants, WEIGHTS_INCLUDE } from './includes.ts'
import type { LoraOutputShape } from './loraScaleBias.ts'
import { teamGrid, teamShape } from './team.ts'

const definition: KernelDefinition = {
  name: 'dora_norm',
  source,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'job', access: 'read' }, //    see doraNormJob()
    { name: 'table', access: 'read' }, //  entries of (slot, layer, group)
    { name: 'w', access: 'read' }, //      [rows, in], a shard of the group's matrix
    { name: 'slab', access: 'write' }, //  pages of adapters; row scales are changed in place
  ],
}

/** Rows that a team takes together; jobs begin at multiples of it. */
export const DORA_NORM_ROWS = 4

/** @param dtypes element types that the adapter may have; each costs compile time */
export function doraNormKernel(
  can: Capabilities,
  weights: FloatDtype,
  dtypes: readonly FloatDtype[] = LORA_DTYPES,
): KernelChoice {
  const team = teamShape(can)
  return {
    definition,
    specialisation: {
      constants: { R: DORA_NORM_ROWS, ...team.constants, ...loraDtypeConstants(dtypes) },
      includes: {
        team: team.source,
        lora_table: LORA_TABLE_INCLUDE,
        lora_slab: LORA_SLAB_INCLUDE,
        weights: WEIGHTS_INCLUDE[weights],
      },
    },
  }
}

export interface DoraNormShape extends LoraOutputShape {
  /** Inputs of the group; a multiple of 4. */
  readonly in: number
  /** First row of the shard. */
  readonly rowStart: number
}

export function doraNormParams({ outs, layer, numLayers, group, ...shape }: DoraNormShape): Uint32Array<ArrayBuffer> {
  const [a = 0, b = 0, c = 0] = outs.map((out) => out / 4)
  return paramWords(a, b, c, layer, numLayers, group, shape.in / 4, shape.rowStart)
}

/** Rows `first` to `first + rows - 1` of a shard, for the adapter in `slot`. */
export function doraNormJob(slot: number, first: number, rows: number): Uint32Array<ArrayBuffer> {
  return paramWords(slot, first, rows)
}

export function doraNormGrid(can: Capabilities, rows: number): Grid {
  return [teamGrid(can, Math.ceil(rows / DORA_NORM_ROWS))]
}
