/** Problems for what goes through single rows: norms, and the sampler. */
import type { Capabilities } from '../../gpu/capabilities.ts'
import { addNormGrid, addNormKernel, addNormParams } from '../kernels/addNorm.ts'
import { crewShape } from '../kernels/crew.ts'
import { RECORD_WORDS, sampleGrid, sampleKernel, sampleParams } from '../kernels/sample.ts'
import { StepTables } from '../stepTables.ts'
import { eighths, type Problem, stepOf } from './problems.ts'

/** The sum of the squares is exact, too; its root is not. */
export function normProblem(can: Capabilities, { hidden, rows }: { hidden: number; rows: number }): Problem {
  const next = eighths(hidden)
  const eps = 1e-5
  const [gain, delta, residual] = [next(hidden), next(rows * hidden), next(rows * hidden)]
  return {
    dispatches: ({ norm }) => [
      { choice: addNormKernel(can, { add: true, bias: false, gather: false }, norm), grid: addNormGrid(can, rows) },
    ],
    buffers: {
      params: addNormParams({ hidden, eps }),
      step: stepOf(Array(rows).fill(1), 0),
      gain,
      delta,
      bias: gain,
      residual,
      normed: new Float32Array(rows * hidden).fill(Number.NaN),
    },
    output: 'normed',
    expected() {
      const sums = Float64Array.from(residual, (value, i) => value + delta[i]!)
      const values = new Float64Array(sums.length)
      for (let start = 0; start < sums.length; start += hidden) {
        const row = sums.subarray(start, start + hidden)
        const scale = 1 / Math.sqrt(row.reduce((total, each) => total + each * each, 0) / hidden + eps)
        row.forEach((value, i) => {
          values[start + i] = gain[i]! * value * scale
        })
      }
      return { values, tolerance: 1e-5 }
    },
  }
}

/** Kinds of rows of whom only the likeliest token can be drawn, in as many passes as the sampler knows. */
const SETTLED = [
  { temperature: 0, topK: 0, topP: 1 },
  { temperature: 0.7, topK: 1, topP: 1 },
  { temperature: 0.7, topK: 9, topP: 0 },
]
const USUAL = [{ temperature: 0.8, topK: 50, topP: 0.95 }]

/** A row of each kind; of `settled` ones the tokens are known. */
export function sampleProblem(can: Capabilities, vocab: number, settled: boolean): Problem {
  const kinds = settled ? SETTLED : USUAL
  const rows = kinds.length
  const logits = eighths(vocab)(rows * vocab)
  const tables = new StepTables(128 + 32 * rows)
  tables.begin({ rows, tiles: 0, logits: rows, splits: 1 })
  for (let row = 0; row < rows; row++) tables.addRow({ token: 0, position: 0, blockTable: 0, slot: null })
  const others = { score: null, topLogprobs: null, minP: 0, adjustment: null }
  for (const [row, kind] of kinds.entries()) tables.addLogits({ ...others, ...kind, row, seed: row, position: row })
  const crew = crewShape(can)
  return {
    dispatches: ({ sample }) => [{ choice: sampleKernel(can, sample, crew), grid: sampleGrid(crew, rows) }],
    buffers: {
      params: sampleParams(vocab),
      step: tables.words,
      logits,
      records: new Uint32Array(rows * RECORD_WORDS),
      counts: new Uint32Array(4),
      registers: new Uint32Array(4),
    },
    output: 'records',
    expected() {
      const records = new Uint32Array(rows * RECORD_WORDS)
      for (let row = 0; row < rows; row++) {
        const own = logits.subarray(row * vocab, (row + 1) * vocab)
        records[row * RECORD_WORDS] = own.indexOf(Math.max(...own)) // of equal ones the first
      }
      // Words are compared as the floats that their bits are.
      return { values: Float64Array.from(new Float32Array(records.buffer)), tolerance: 0 }
    },
  }
}
