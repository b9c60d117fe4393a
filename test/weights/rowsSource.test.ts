import { describe, expect, it } from 'vitest'
import { tensorRows } from '../../src/weights/rowsSource.ts'
import { bytesSource } from '../../src/weights/source.ts'
import { readTensor, tensorSlices } from '../../src/weights/tensorData.ts'

const whole = {
  name: 'x',
  dtype: 'F16',
  shape: [5, 3],
  byteOffset: 2,
  byteLength: 30,
  source: bytesSource(
    'x',
    Uint8Array.from({ length: 40 }, (_, i) => i),
  ),
} as const

describe('tensorRows', () => {
  it('holds the named rows in the named order', async () => {
    const rows = tensorRows(whole, [
      { start: 3, count: 2 },
      { start: 0, count: 1 },
      { start: 2, count: 0 },
    ])
    expect(rows).toMatchObject({ name: 'x', dtype: 'F16', shape: [3, 3], byteLength: 18 })
    const expected = [20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 2, 3, 4, 5, 6, 7]
    expect([...(await readTensor(rows))]).toEqual(expected)
    const sliced: number[] = []
    for await (const { bytes } of tensorSlices(rows, 4)) sliced.push(...bytes)
    expect(sliced).toEqual(expected)
  })
})
