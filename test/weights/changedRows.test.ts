import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { changedRows } from '../../src/weights/changedRows.ts'
import { type FloatDtype, fromFloat32, toFloat32 } from '../../src/weights/dtype.ts'
import { madeTensor } from '../../src/weights/madeTensor.ts'
import type { TensorInfo } from '../../src/weights/safetensors.ts'
import { bytesSource } from '../../src/weights/source.ts'
import { readTensor, tensorSlices } from '../../src/weights/tensorData.ts'

/** Element i of the matrix is i % 97; it lies behind three bytes of something else. */
function matrix(rows: number, columns: number, dtype: FloatDtype): TensorInfo {
  const values = Float32Array.from({ length: rows * columns }, (_, i) => i % 97)
  const bytes = fromFloat32(values, dtype)
  const source = bytesSource('file', new Uint8Array([1, 2, 3, ...bytes]))
  return { name: 'w', dtype, shape: [rows, columns], byteOffset: 3, byteLength: bytes.byteLength, source }
}

describe('changedRows', () => {
  it('gives the changed values whole, however they are read, and nothing of the file is changed', async () => {
    const wish = fc.record({
      rows: fc.integer({ min: 1, max: 40 }),
      columns: fc.integer({ min: 1, max: 30 }),
      dtype: fc.constantFrom<FloatDtype>('F32', 'F16', 'BF16'),
      slice: fc.integer({ min: 4, max: 300 }),
    })
    await fc.assert(
      fc.asyncProperty(wish, async ({ rows, columns, dtype, slice }) => {
        const tensor = matrix(rows, columns, dtype)
        // Depends on the row as a whole, and on which it is.
        const changed = changedRows(tensor, (values, first) => {
          for (let row = 0; row * columns < values.length; row++) {
            const one = values.subarray(row * columns, (row + 1) * columns)
            const most = Math.max(...one)
            for (let c = 0; c < columns; c++) one[c] = most - one[c]! + ((first + row) % 3)
          }
        })
        const before = toFloat32(await readTensor(tensor), dtype)
        const wanted = before.map((value, i) => {
          const row = Math.floor(i / columns)
          return Math.max(...before.subarray(row * columns, (row + 1) * columns)) - value + (row % 3)
        })
        const bytes = new Uint8Array(tensor.byteLength)
        for await (const part of tensorSlices(changed, slice)) bytes.set(part.bytes, part.byteOffset)
        expect(toFloat32(bytes, dtype)).toEqual(wanted)
        expect(await readTensor(changed)).toEqual(bytes)
        expect(toFloat32(await readTensor(tensor), dtype)).toEqual(before)
      }),
    )
  })

  it('asks for blocks of whole rows, each about a mebibyte, in order', async () => {
    const tensor = matrix(700, 1000, 'F32')
    const seen: number[][] = []
    const changed = changedRows(tensor, (values, first) => {
      seen.push([first, values.length / 1000])
    })
    await readTensor(changed)
    expect(seen).toEqual([
      [0, 262],
      [262, 262],
      [524, 176],
    ])
  })

  it('says what the change says', async () => {
    const changed = changedRows(matrix(2, 2, 'F32'), () => {
      throw new RangeError('no')
    })
    await expect(readTensor(changed)).rejects.toThrow(RangeError)
  })
})

describe('madeTensor', () => {
  it('is made once, when it is first read', async () => {
    let times = 0
    const tensor = madeTensor('bias', [3], async () => {
      times++
      return Float32Array.of(1, 2, 3)
    })
    expect(times).toBe(0)
    for (let i = 0; i < 2; i++) expect(toFloat32(await readTensor(tensor), 'F32')).toEqual(Float32Array.of(1, 2, 3))
    expect([times, tensor.byteLength]).toEqual([1, 12])
  })
})
