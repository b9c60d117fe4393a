import { describe, expect } from 'vitest'
import { siluMulGrid, siluMulKernel, siluMulParams } from '../../../src/model/kernels/siluMul.ts'
import { it } from '../../support/gpu.ts'
import { expectNear } from '../../support/near.ts'
import { Random } from '../../support/random.ts'
import { siluMulReference } from '../../support/reference/siluMul.ts'

const TOLERANCE = {
  relative: 1e-5,
  absolute: 1e-6,
  because: 'exp() of the device, whose error grows with its argument',
}

describe('silu_mul', () => {
  for (const [rows, inter, bias] of [
    [1, 4, false],
    [3, 176, true],
    [5, 1536, false],
  ] as const) {
    it(`matches the reference: ${rows} rows of ${inter}${bias ? ' with bias' : ''}`, async ({ bench }) => {
      const random = new Random(inter)
      const gateUp = random.floats(rows * 2 * inter, 6)
      const biases = random.floats(2 * inter)
      const { act } = await bench.run(
        siluMulKernel({ bias }),
        { params: siluMulParams(inter), gateUp, bias: biases, act: new Float32Array(rows * inter) },
        siluMulGrid(inter, rows),
      )
      expectNear(await bench.floats(act!), siluMulReference(gateUp, bias ? biases : null, inter), TOLERANCE)
    })
  }

  it('stays finite for gates far below and above zero', async ({ bench }) => {
    const gateUp = Float32Array.of(-1e4, -100, -88.5, -40, 40, 100, 1e4, 0, ...Array(8).fill(1))
    const { act } = await bench.run(
      siluMulKernel({ bias: false }),
      { params: siluMulParams(8), gateUp, bias: gateUp.slice(), act: new Float32Array(8) },
      siluMulGrid(8, 1),
    )
    const actual = await bench.floats(act!)
    expectNear(actual, siluMulReference(gateUp, null, 8), { ...TOLERANCE, absolute: 1e-30 })
    expect(actual[7]).toBe(0)
  })
})
