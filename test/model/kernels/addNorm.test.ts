import { describe, expect } from 'vitest'
import { addNormGrid, addNormKernel, addNormParams } from '../../../src/model/kernels/addNorm.ts'
import { TEAM_DEVICES } from '../../support/gpu.ts'
import { expectNear } from '../../support/near.ts'
import { Random } from '../../support/random.ts'
import { addReference, rmsNormReference } from '../../support/reference/addNorm.ts'
import { stepWordsOf } from '../../support/steps.ts'

const EPS = 1e-5
const TOLERANCE = { relative: 2e-6, absolute: 1e-7, because: 'f32 sums in another order, and 1/sqrt to 2 ulp' }

describe.each(TEAM_DEVICES)('add_norm $name', ({ it }) => {
  for (const bias of [false, true]) {
    // One row; fewer elements than a team strides over; a width that is no multiple of the stride; many rows.
    for (const [rows, hidden] of [
      [1, 4],
      [3, 100],
      [37, 576],
    ] as const) {
      it(`adds ${bias ? 'a bias, ' : ''}and norms ${rows} rows of ${hidden}`, async ({ bench }) => {
        const random = new Random(rows + hidden)
        const gain = random.floats(hidden, 2)
        const delta = random.floats(rows * hidden)
        const biases = random.floats(hidden)
        const before = random.floats(rows * hidden, 30)
        const { residual, normed } = await bench.run(
          addNormKernel(bench.gpu.can, { add: true, bias, gather: false }),
          {
            params: addNormParams({ hidden, eps: EPS }),
            step: stepWordsOf({ rows: Array.from({ length: rows }, () => ({})) }),
            gain,
            delta,
            bias: biases,
            residual: before,
            normed: new Float32Array(rows * hidden),
          },
          addNormGrid(bench.gpu.can, rows),
        )
        const after = addReference(before, delta, bias ? biases : null)
        expect(await bench.floats(residual!)).toEqual(after)
        expectNear(await bench.floats(normed!), rmsNormReference(after, gain, EPS), TOLERANCE)
      })
    }
  }

  it('norms without adding', async ({ bench }) => {
    const gain = new Random(1).floats(64)
    const x = new Random(2).floats(5 * 64, 1e-3) // so small that eps counts
    const { residual, normed } = await bench.run(
      addNormKernel(bench.gpu.can, { add: false, bias: false, gather: false }),
      {
        params: addNormParams({ hidden: 64, eps: EPS }),
        step: stepWordsOf({ rows: [{}, {}, {}, {}, {}] }),
        gain,
        delta: gain,
        bias: gain,
        residual: x,
        normed: new Float32Array(5 * 64),
      },
      addNormGrid(bench.gpu.can, 5),
    )
    expect(await bench.floats(residual!)).toEqual(x)
    expectNear(await bench.floats(normed!), rmsNormReference(x, gain, EPS), TOLERANCE)
  })

  it('gathers the logits rows and leaves the rest alone', async ({ bench }) => {
    const hidden = 36
    const logits = [1, 2, 6]
    const gain = new Random(1).floats(hidden)
    const x = new Random(2).floats(7 * hidden)
    const { residual, normed } = await bench.run(
      addNormKernel(bench.gpu.can, { add: false, bias: false, gather: true }),
      {
        params: addNormParams({ hidden, eps: EPS }),
        step: stepWordsOf({ rows: Array.from({ length: 7 }, () => ({})), logits }),
        gain,
        delta: gain,
        bias: gain,
        residual: x,
        normed: new Float32Array(7 * hidden).fill(-77),
      },
      addNormGrid(bench.gpu.can, logits.length),
    )
    expect(await bench.floats(residual!)).toEqual(x)
    const compact = logits.flatMap((row) => [...x.subarray(row * hidden, (row + 1) * hidden)])
    const actual = await bench.floats(normed!)
    expectNear(actual.subarray(0, 3 * hidden), rmsNormReference(compact, gain, EPS), TOLERANCE)
    expect(actual.subarray(3 * hidden).every((value) => value === -77)).toBe(true)
  })
})
