/** Host half of matmul.wgsl: rows of activations times a weight matrix, in the row regimes 1, 2, 4 and 8. */
import source from '../../../shaders/matmul.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import type { FloatDtype } from '../../weights/dtype.ts'
import { type KernelChoice, paramWords } from './choice.ts'
import { STEP_INCLUDE, WEIGHTS_INCLUDE } from './includes.ts'
import { teamGrid, teamShape } from './team.ts'

const definition: KernelDefinition = {
  name: 'matmul',
  source,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'w', access: 'read' }, //   [out, in], a shard of the matrix
    { name: 'x', access: 'read' }, //   [rows, in]
    { name: 'y', access: 'write' }, //  [rows, outStride]
  ],
}

/** Rows that a team takes together: how often a weight is used once it is read. */
export type RowsPerTeam = 1 | 2 | 4 | 8

/**
 * The row regimes that pay on a device. With eight rows a software device spills its sixteen vector registers: four are
 * 1.4 times as fast there, though weights are read twice (`lorikeet bench kernels`, matmul of 8 and 64 rows).
 */
export function rowRegimes(can: Capabilities): readonly RowsPerTeam[] {
  return can.software ? [1, 2, 4] : [1, 2, 4, 8]
}

/**
 * Outputs of a team, by its rows: as many as pay on the software device. With one row a team has registers for more
 * outputs, and each activation it loads serves them all. The sums of an output do not depend on it.
 */
const OUTPUTS_PER_TEAM: Readonly<Record<RowsPerTeam, number>> = { 1: 8, 2: 8, 4: 8, 8: 4 }

/** The regime for a step of `rows` rows: the smallest that holds them all, else the largest. */
export function matmulRowsPerTeam(can: Capabilities, rows: number): RowsPerTeam {
  const regimes = rowRegimes(can)
  return regimes.find((count) => count >= rows) ?? regimes.at(-1)!
}

export function matmulKernel(can: Capabilities, dtype: FloatDtype, rowsPerTeam: RowsPerTeam): KernelChoice {
  const team = teamShape(can)
  const outputs = OUTPUTS_PER_TEAM[rowsPerTeam]
  return {
    definition,
    specialisation: {
      constants: { R: outputs, N: rowsPerTeam, TEAM_SUMS: outputs * rowsPerTeam, ...team.constants },
      includes: { step: STEP_INCLUDE, team: team.source, weights: WEIGHTS_INCLUDE[dtype] },
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
export function matmulGrid(can: Capabilities, rowsPerTeam: RowsPerTeam, out: number, rows: number): Grid {
  return [teamGrid(can, Math.ceil(out / OUTPUTS_PER_TEAM[rowsPerTeam])), Math.ceil(rows / rowsPerTeam)]
}
