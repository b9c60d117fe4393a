/** Host half of lora_shrink.wgsl: rows times the A matrices of their adapters. */

import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import type { FloatDtype } from '../../weights/dtype.ts'
import { adapterText } from './adapterText.ts'
import { type KernelChoice, paramWords } from './choice.ts'
import {
  ACTIVATION_INCLUDES,
  type ActivationDtype,
  LORA_DTYPES,
  LORA_SLAB_INCLUDE,
  LORA_TABLE_INCLUDE,
  loraDtypeConstants,
  STEP_INCLUDE,
  TILES_WORD,
  type TileRows,
} from './includes.ts'
import { teamGrid, teamShape } from './team.ts'
import { defaultTuning, type KernelTuning } from './tuning.ts'

const definition: KernelDefinition = {
  name: 'lora_shrink',
  source: adapterText('lora_shrink'),
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'table', access: 'read' }, //  entries of (slot, layer, group)
    { name: 'slab', access: 'read' }, //   pages of adapters
    { name: 'x', access: 'read' }, //      [rows, in], as activations are stored
    { name: 'down', access: 'write' }, //  [splits, rowCapacity, columns]
  ],
}

/** Rows at a time. */
const ROWS_AT_A_TIME = 4

/**
 * @param dtypes element types that the adapters of a step may have; each costs compile time
 * @param activations of x
 */
export function loraShrinkKernel(
  can: Capabilities,
  dtypes: readonly FloatDtype[] = LORA_DTYPES,
  { columns, teams }: KernelTuning['shrink'] = defaultTuning(can).shrink,
  activations: ActivationDtype = 'F32',
): KernelChoice {
  const team = teamShape(can, teams)
  return {
    definition,
    specialisation: {
      constants: {
        R: columns,
        N: ROWS_AT_A_TIME,
        TEAM_SUMS: columns * ROWS_AT_A_TIME,
        ...team.constants,
        ...loraDtypeConstants(dtypes),
      },
      includes: {
        step: STEP_INCLUDE,
        team: team.source,
        lora_table: LORA_TABLE_INCLUDE,
        lora_slab: LORA_SLAB_INCLUDE,
        ...ACTIVATION_INCLUDES[activations],
      },
    },
  }
}

export interface LoraDownShape {
  /** Width of `down`: the largest stacked rank of a group that an adapter can have; a multiple of 4. */
  readonly columns: number
  /** Rows of a slice of `down`. */
  readonly rowCapacity: number
  /** Slices of k; 1 on devices that gain nothing by more. */
  readonly splits: number
}

export interface LoraShrinkShape extends LoraDownShape {
  /** Inputs of the group; a multiple of 4. */
  readonly in: number
  readonly layer: number
  readonly numLayers: number
  /** Index of the group in GROUPS, or of what is outside the layers. */
  readonly group: number
  /** Tiles of the step's rows (the default), or of its logits rows. */
  readonly tiles?: TileRows
}

export function loraShrinkParams(shape: LoraShrinkShape): Uint32Array<ArrayBuffer> {
  const in4 = shape.in / 4
  const { layer, numLayers, group, columns, rowCapacity, splits } = shape
  return paramWords(
    in4,
    Math.ceil(in4 / splits),
    layer,
    numLayers,
    group,
    columns,
    rowCapacity,
    TILES_WORD[shape.tiles ?? 'rows'],
  )
}

/**
 * @param columns the largest stacked rank of this group among the adapters in the step
 * @param tiles as the step's tables count them
 */
export function loraShrinkGrid(
  can: Capabilities,
  columns: number,
  tiles: number,
  splits: number,
  tuning: KernelTuning['shrink'] = defaultTuning(can).shrink,
): Grid {
  return [teamGrid(can, Math.ceil(columns / tuning.columns), tuning.teams), tiles, splits]
}
