/** Host half of lora_expand.wgsl: what lora_shrink left, times the B matrices, added to the bare projections. */

import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import type { FloatDtype } from '../../weights/dtype.ts'
import { adapterText } from './adapterText.ts'
import { type KernelChoice, paramWords } from './choice.ts'
import {
  LORA_DTYPES,
  LORA_SLAB_INCLUDE,
  LORA_TABLE_INCLUDE,
  loraDtypeConstants,
  STEP_INCLUDE,
  TILES_WORD,
} from './includes.ts'
import type { LoraOutputShape } from './loraScaleBias.ts'
import type { LoraDownShape } from './loraShrink.ts'
import { teamShape } from './team.ts'
import { defaultTuning, type KernelTuning } from './tuning.ts'

const definition: KernelDefinition = {
  name: 'lora_expand',
  source: adapterText('lora_expand'),
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'table', access: 'read' }, //  entries of (slot, layer, group)
    { name: 'slab', access: 'read' }, //     pages of adapters
    { name: 'down', access: 'read' }, //     [splits, rowCapacity, columns]
    { name: 'y', access: 'write' }, //       [rows, sum of outs]; added to
  ],
}

/** Rows at a time. */
const ROWS_AT_A_TIME = 4

/** @param dtypes element types that the adapters of a step may have; each costs compile time */
export function loraExpandKernel(
  can: Capabilities,
  dtypes: readonly FloatDtype[] = LORA_DTYPES,
  { vectors, turns, teams }: KernelTuning['expand'] = defaultTuning(can).expand,
): KernelChoice {
  const team = teamShape(can, teams)
  return {
    definition,
    specialisation: {
      constants: {
        J: vectors,
        TURNS: turns,
        N: ROWS_AT_A_TIME,
        TEAM_SLOTS: 4 * ROWS_AT_A_TIME,
        ...team.constants,
        ...loraDtypeConstants(dtypes),
      },
      includes: {
        step: STEP_INCLUDE,
        team: team.source,
        lora_table: LORA_TABLE_INCLUDE,
        lora_slab: LORA_SLAB_INCLUDE,
      },
    },
  }
}

export interface LoraExpandShape extends LoraDownShape, LoraOutputShape {}

export function loraExpandParams(shape: LoraExpandShape): Uint32Array<ArrayBuffer> {
  const [a = 0, b = 0, c = 0] = shape.outs.map((out) => out / 4)
  const { layer, numLayers, group, columns, rowCapacity, splits } = shape
  return paramWords(
    a,
    b,
    c,
    layer,
    numLayers,
    group,
    columns / 4,
    rowCapacity,
    splits,
    TILES_WORD[shape.tiles ?? 'rows'],
  )
}

/** @param tiles as the step's tables count them */
export function loraExpandGrid(
  can: Capabilities,
  outs: readonly number[],
  tiles: number,
  { vectors, turns, teams }: KernelTuning['expand'] = defaultTuning(can).expand,
): Grid {
  const outputs = teamShape(can, teams).constants.WORKGROUP * vectors * 4 * turns
  return [outs.reduce((sum, out) => sum + Math.ceil(out / outputs), 0), tiles]
}
