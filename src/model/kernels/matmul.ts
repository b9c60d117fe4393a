/** Host half of matmul.wgsl: rows of activations times a weight matrix. */
import source from '../../../shaders/matmul.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import type { FloatDtype } from '../../weights/dtype.ts'
import { type KernelChoice, paramWords } from './choice.ts'
import { ACTIVATION_INCLUDES, type ActivationDtype, STEP_INCLUDE, WEIGHTS_INCLUDE } from './includes.ts'
import { type TeamShape, teamShape } from './team.ts'
import type { MatmulTuning } from './tuning.ts'

const definition: KernelDefinition = {
  name: 'matmul',
  source,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'w', access: 'read' }, //   [out, in], a shard of the matrix
    { name: 'x', access: 'read' }, //   [rows, in], as activations are stored
    { name: 'y', access: 'write' }, //  [rows, outStride]
  ],
}

/** How the teams of a workgroup lie. */
function arrangement(can: Capabilities, { teams, rowTeams = 1 }: MatmulTuning): { team: TeamShape; rowTeams: number } {
  const team = teamShape(can, teams)
  return { team, rowTeams: Math.min(rowTeams, team.teamsPerWorkgroup) }
}

/**
 * @param dtype of the weights
 * @param activations of x
 */
export function matmulKernel(
  can: Capabilities,
  dtype: FloatDtype,
  tuning: MatmulTuning,
  activations: ActivationDtype = 'F32',
): KernelChoice {
  const { rows, outputs } = tuning
  const { team, rowTeams } = arrangement(can, tuning)
  return {
    definition,
    specialisation: {
      constants: { R: outputs, N: rows, ROW_TEAMS: rowTeams, TEAM_SUMS: outputs * rows, ...team.constants },
      includes: {
        step: STEP_INCLUDE,
        team: team.source,
        weights: WEIGHTS_INCLUDE[dtype],
        ...ACTIVATION_INCLUDES[activations],
      },
    },
  }
}

export interface MatmulShape {
  /** Inputs; a multiple of 4. */
  readonly in: number
  /** Outputs of this shard. */
  readonly out: number
  /** First of them in a row of y. */
  readonly outStart: number
  /** Width of a row of y. */
  readonly outStride: number
  /** x and y have the step's rows, or its logits rows (lm_head). */
  readonly rows: 'all' | 'logits'
}

export function matmulParams(shape: MatmulShape): Uint32Array<ArrayBuffer> {
  return paramWords(shape.in / 4, shape.out, shape.outStart, shape.outStride, shape.rows === 'all' ? 0 : 2)
}

/** @param out outputs of the shard */
export function matmulGrid(can: Capabilities, tuning: MatmulTuning, out: number, rows: number): Grid {
  const { team, rowTeams } = arrangement(can, tuning)
  const outTeams = team.teamsPerWorkgroup / rowTeams
  return [Math.ceil(rows / (tuning.rows * rowTeams)), Math.ceil(out / (tuning.outputs * outTeams))]
}
