import { describe, expect } from 'vitest'
import type { Capabilities } from '../../../src/gpu/capabilities.ts'
import { matmulGrid, matmulKernel, matmulParams } from '../../../src/model/kernels/matmul.ts'
import { defaultTuning, type MatmulTuning, ROW_CLASSES, rowClass } from '../../../src/model/kernels/tuning.ts'
import type { FloatDtype } from '../../../src/weights/dtype.ts'
import { encode } from '../../support/encode.ts'
import { it, type KernelBench, TEAM_DEVICES } from '../../support/gpu.ts'
import { expectNear } from '../../support/near.ts'
import { Random } from '../../support/random.ts'
import { matmulReference } from '../../support/reference/matmul.ts'
import { stepWordsOf } from '../../support/steps.ts'

const UNTOUCHED = -77

interface Case {
  readonly rows: number
  readonly inputs: number
  readonly out: number
  readonly dtype: FloatDtype
  readonly tuning?: MatmulTuning
}

/** Computes into columns 3.. of rows wider by 5, and returns them, having checked that nothing else was written. */
async function product(bench: KernelBench, { rows, inputs, out, dtype, ...given }: Case, can = bench.gpu.can) {
  const tuning = given.tuning ?? defaultTuning(can).matmul[rowClass(rows)]
  const random = new Random(rows * 1000 + inputs + out)
  const x = random.floats(rows * inputs)
  const w = encode(random.floats(out * inputs, 0.5), dtype)
  const outStride = out + 5
  const { y } = await bench.run(
    matmulKernel(can, dtype, tuning),
    {
      params: matmulParams({ in: inputs, out, outStart: 3, outStride, rows: 'all' }),
      step: stepWordsOf({ rows: Array.from({ length: rows }, () => ({})) }),
      w: w.words,
      x,
      y: new Float32Array(rows * outStride).fill(UNTOUCHED),
    },
    matmulGrid(can, tuning, out, rows),
  )
  const padded = await bench.floats(y!)
  const actual = new Float32Array(rows * out)
  for (let row = 0; row < rows; row++) {
    const line = padded.subarray(row * outStride, (row + 1) * outStride)
    expect([...line.subarray(0, 3), ...line.subarray(3 + out)]).toEqual(Array(5).fill(UNTOUCHED))
    actual.set(line.subarray(3, 3 + out), row * out)
  }
  return { actual, expected: matmulReference(x, w.values, inputs) }
}

/** One rounding per term and lane; errors of f32 sums grow with the terms' sizes, far slower than their number. */
const TOLERANCE = { relative: 2e-6, because: 'f32 sums in another order' }

describe.each(TEAM_DEVICES)('matmul $name', ({ it, subgroups }) => {
  // Fewer inputs than a team strides over; inputs that are no multiple of the stride; odd outputs and rows.
  const cases: Case[] = [
    { rows: 1, inputs: 4, out: 7, dtype: 'F16' },
    { rows: 1, inputs: 576, out: 130, dtype: 'F16' },
    { rows: 5, inputs: 100, out: 511, dtype: 'F16' },
    { rows: 19, inputs: 68, out: 33, dtype: 'F16' },
    ...(subgroups
      ? ([
          { rows: 3, inputs: 60, out: 7, dtype: 'F32' },
          { rows: 2, inputs: 176, out: 1, dtype: 'F32' },
          { rows: 2, inputs: 60, out: 21, dtype: 'BF16' },
          { rows: 9, inputs: 132, out: 50, dtype: 'BF16' },
        ] satisfies Case[])
      : []),
  ]
  it.for(cases)(
    'matches the reference: $rows rows, $inputs inputs, $out outputs, $dtype',
    async (example, { bench }) => {
      const { actual, expected } = await product(bench, example)
      expectNear(actual, expected.y, { ...TOLERANCE, magnitudes: expected.magnitudes })
    },
  )
})

describe.each(TEAM_DEVICES)('teams of a workgroup, $name', ({ it, subgroups }) => {
  // Outputs and rows that end within a team, within a workgroup, and at its border; more sums than a team has lanes.
  const tilings: readonly MatmulTuning[] = subgroups
    ? [
        { rows: 8, outputs: 4, teams: 8, rowTeams: 2 },
        { rows: 2, outputs: 4, teams: 4, rowTeams: 4 },
        { rows: 4, outputs: 2, teams: 2 },
        { rows: 8, outputs: 8, teams: 4, rowTeams: 2 },
      ]
    : [
        { rows: 2, outputs: 8, teams: 8, rowTeams: 2 },
        { rows: 8, outputs: 8 },
      ]
  const shapes: Case[] = subgroups
    ? [
        { rows: 37, inputs: 300, out: 45, dtype: 'F16' },
        { rows: 16, inputs: 24, out: 64, dtype: 'BF16' },
        { rows: 3, inputs: 68, out: 1, dtype: 'F32' },
      ]
    : [{ rows: 19, inputs: 300, out: 45, dtype: 'F16' }]

  it.for(shapes)(
    'give the bits of teams alone: $rows rows, $inputs inputs, $out outputs, $dtype',
    async (shape, { bench }) => {
      const one = await product(bench, { ...shape, tuning: { rows: 4, outputs: 8 } })
      expectNear(one.actual, one.expected.y, { ...TOLERANCE, magnitudes: one.expected.magnitudes })
      for (const tuning of tilings) expect((await product(bench, { ...shape, tuning })).actual).toEqual(one.actual)
    },
  )
})

describe('matmul', () => {
  it('has teams to spare where subgroups are smaller than they might be', async ({ bench }) => {
    const { can } = bench.gpu
    const wide = { ...can, subgroupMaxSize: 2 * can.subgroupMaxSize }
    const shape = {
      rows: 37,
      inputs: 68,
      out: 45,
      dtype: 'F16',
      tuning: { rows: 2, outputs: 4, teams: 4, rowTeams: 2 },
    } as const
    expect((await product(bench, shape, wide)).actual).toEqual((await product(bench, shape)).actual)
  })

  it('gives the same bits in every class of rows', async ({ bench }) => {
    const example = { rows: 11, inputs: 300, out: 45, dtype: 'F16' } as const
    const classes = []
    for (const software of [true, false]) {
      const { matmul } = defaultTuning({ ...bench.gpu.can, software })
      for (const rows of ROW_CLASSES) classes.push((await product(bench, { ...example, tuning: matmul[rows] })).actual)
    }
    for (const each of classes) expect(each).toEqual(classes[0])
  })

  it('counts the logits rows for lm_head', async ({ bench }) => {
    const x = new Random(1).floats(3 * 8)
    const w = new Random(2).floats(2 * 8)
    const { y } = await bench.run(
      matmulKernel(bench.gpu.can, 'F32', { rows: 4, outputs: 8 }),
      {
        params: matmulParams({ in: 8, out: 2, outStart: 0, outStride: 2, rows: 'logits' }),
        step: stepWordsOf({ rows: [{}, {}, {}], logits: [0, 2] }),
        w,
        x,
        y: new Float32Array(6).fill(UNTOUCHED),
      },
      matmulGrid(bench.gpu.can, { rows: 4, outputs: 8 }, 2, 2),
    )
    const expected = matmulReference(x.subarray(0, 16), w, 8)
    const actual = await bench.floats(y!)
    expectNear(actual.subarray(0, 4), expected.y, TOLERANCE)
    expect([...actual.subarray(4)]).toEqual([UNTOUCHED, UNTOUCHED])
  })

  it('takes as few rows at once as hold the step, and never so many that they spill', () => {
    const taken = (software: boolean) =>
      [1, 2, 3, 4, 5, 8, 9, 512].map((rows) => defaultTuning({ software } as Capabilities).matmul[rowClass(rows)].rows)
    expect(taken(false)).toEqual([1, 2, 4, 4, 8, 8, 8, 8])
    expect([31, 32].map(rowClass)).toEqual([8, 32])
    expect(taken(true)).toEqual([1, 2, 4, 4, 4, 4, 4, 4])
  })
})
