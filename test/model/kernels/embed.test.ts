import { describe, expect } from 'vitest'
import { embedGrid, embedKernel, embedParams } from '../../../src/model/kernels/embed.ts'
import type { FloatDtype } from '../../../src/weights/dtype.ts'
import { encode } from '../../support/encode.ts'
import { it } from '../../support/gpu.ts'
import { Random } from '../../support/random.ts'
import { embedReference } from '../../support/reference/embed.ts'
import { stepWordsOf } from '../../support/steps.ts'

const UNTOUCHED = -77
const VOCABULARY = 511
const TOKENS = [0, 510, 300, 7, 256, 255]

describe('embed', () => {
  for (const [dtype, hidden] of [
    ['F32', 12],
    ['F16', 576],
    ['BF16', 132],
  ] satisfies [FloatDtype, number][]) {
    it(`widens ${dtype} rows of ${hidden} exactly`, async ({ bench }) => {
      const table = encode(new Random(hidden).floats(VOCABULARY * hidden), dtype)
      const { residual } = await bench.run(
        embedKernel(dtype),
        {
          params: embedParams({ hidden, shardStart: 0, shardRows: VOCABULARY }),
          step: stepWordsOf({ rows: TOKENS.map((token) => ({ token })) }),
          table: table.words,
          registers: Uint32Array.of(0),
          residual: new Float32Array(TOKENS.length * hidden).fill(UNTOUCHED),
        },
        embedGrid(hidden, TOKENS.length),
      )
      expect(await bench.floats(residual!)).toEqual(embedReference(table.values, hidden, TOKENS))
    })
  }

  it('takes from a shard its own tokens only', async ({ bench }) => {
    const hidden = 8
    const whole = new Random(3).floats(VOCABULARY * hidden)
    const step = await bench.upload('step', stepWordsOf({ rows: TOKENS.map((token) => ({ token })) }))
    const registers = Uint32Array.of(0)
    const residual = await bench.upload('residual', new Float32Array(TOKENS.length * hidden).fill(UNTOUCHED))
    const expected = embedReference(whole, hidden, TOKENS)
    for (const [shardStart, shardRows] of [
      [256, 255],
      [0, 256],
    ] as const) {
      if (shardStart === 0) {
        const half = await bench.floats(residual)
        TOKENS.forEach((token, row) => {
          const line = half.subarray(row * hidden, (row + 1) * hidden)
          expect(line).toEqual(
            token < 256
              ? new Float32Array(hidden).fill(UNTOUCHED)
              : expected.subarray(row * hidden, (row + 1) * hidden),
          )
        })
      }
      const table = whole.slice(shardStart * hidden, (shardStart + shardRows) * hidden)
      await bench.run(
        embedKernel('F32'),
        { params: embedParams({ hidden, shardStart, shardRows }), step, table, registers, residual },
        embedGrid(hidden, TOKENS.length),
      )
    }
    expect(await bench.floats(residual)).toEqual(expected)
  })

  it('takes the token of a row out of a register, ended or not', async ({ bench }) => {
    const hidden = 8
    const table = new Random(4).floats(VOCABULARY * hidden)
    const { residual } = await bench.run(
      embedKernel('F32'),
      {
        params: embedParams({ hidden, shardStart: 0, shardRows: VOCABULARY }),
        step: stepWordsOf({ rows: [{ token: 3 }, { token: { register: 2 } }, { token: { register: 0 } }] }),
        table,
        registers: Uint32Array.of(0x80000000 + 510, 1, 77),
        residual: new Float32Array(3 * hidden).fill(UNTOUCHED),
      },
      embedGrid(hidden, 3),
    )
    expect(await bench.floats(residual!)).toEqual(embedReference(table, hidden, [3, 77, 510]))
  })
})
