/** Host half of own_head.wgsl: rows of the output layer that adapters bring, in place of the base's. */

import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import { adapterText } from './adapterText.ts'
import { type KernelChoice, paramWords } from './choice.ts'
import {
  ACTIVATION_INCLUDES,
  type ActivationDtype,
  LORA_SLAB_INCLUDE,
  LORA_TABLE_INCLUDE,
  STEP_INCLUDE,
} from './includes.ts'
import { teamGrid, teamShape } from './team.ts'

const definition: KernelDefinition = {
  name: 'own_head',
  source: adapterText('own_head'),
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'table', access: 'read' }, //  entries of (slot, layer, group)
    { name: 'slab', access: 'read' }, //   pages of adapters
    { name: 'x', access: 'read' }, //      [logits rows, in], as activations are stored
    { name: 'y', access: 'write' }, //     [logits rows, vocab]
  ],
}

/** Own rows of a team, and logits rows at a time. */
const OWN_ROWS_PER_TEAM = 4
const ROWS_AT_A_TIME = 4

/** Serves adapters of every element type. `activations`: of x. */
export function ownHeadKernel(can: Capabilities, activations: ActivationDtype = 'F32'): KernelChoice {
  const team = teamShape(can)
  return {
    definition,
    specialisation: {
      constants: {
        R: OWN_ROWS_PER_TEAM,
        N: ROWS_AT_A_TIME,
        TEAM_SUMS: OWN_ROWS_PER_TEAM * ROWS_AT_A_TIME,
        ...team.constants,
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

export interface OwnHeadShape {
  /** Inputs; a multiple of 4. */
  readonly in: number
  readonly vocab: number
  readonly layer: number
  readonly numLayers: number
  readonly group: number
}

export function ownHeadParams(shape: OwnHeadShape): Uint32Array<ArrayBuffer> {
  return paramWords(shape.in / 4, shape.vocab, shape.layer, shape.numLayers, shape.group)
}

/**
 * @param ownRows the most that an adapter of the step brings
 * @param tiles of logits rows, as the step's tables count them
 */
export function ownHeadGrid(can: Capabilities, ownRows: number, tiles: number): Grid {
  return [teamGrid(can, Math.ceil(ownRows / OWN_ROWS_PER_TEAM)), tiles]
}
