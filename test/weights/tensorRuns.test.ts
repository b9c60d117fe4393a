import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { TensorInfo } from '../../src/weights/safetensors.ts'
import { bytesSource, type RandomAccess } from '../../src/weights/source.ts'
import { TensorRuns } from '../../src/weights/tensorRuns.ts'

const MIB = 1024 * 1024

/** A source that counts what is read of it. */
function counting(name: string, bytes: Uint8Array) {
  const inner = bytesSource(name, bytes)
  const reads: [number, number][] = []
  const source: RandomAccess = {
    name,
    size: bytes.length,
    read: (offset, length, signal) => {
      reads.push([offset, length])
      return inner.read(offset, length, signal)
    },
    readInto: (...args) => inner.readInto(...args),
    close: () => inner.close(),
  }
  return { source, reads }
}

const tensor = (source: RandomAccess, byteOffset: number, byteLength: number): TensorInfo => {
  return { name: `${byteOffset}`, dtype: 'U8', shape: [byteLength], byteOffset, byteLength, source }
}

describe('TensorRuns', () => {
  it('reads neighbours at once, and nothing between strangers', async () => {
    const { source, reads } = counting(
      'file',
      Uint8Array.from({ length: 100 }, (_, i) => i),
    )
    const [one, two, three] = [tensor(source, 10, 5), tensor(source, 15, 20), tensor(source, 40, 10)]
    const runs = new TensorRuns([three, two, one, two])
    expect([...(await runs.read(two))]).toEqual(Array.from({ length: 20 }, (_, i) => 15 + i))
    expect((await runs.read(one))[0]).toBe(10)
    expect((await runs.read(three))[0]).toBe(40)
    expect(reads).toEqual([
      [10, 25],
      [40, 10],
    ])
  })

  it('reads no more than two MiB at once, unless a tensor has more', async () => {
    const { source, reads } = counting('file', new Uint8Array(30 * MIB))
    const tensors = [tensor(source, 0, MIB), tensor(source, MIB, 1.5 * MIB), tensor(source, 2.5 * MIB, 12 * MIB)]
    const runs = new TensorRuns(tensors)
    for (const each of tensors) await runs.read(each)
    expect(reads.map(([, length]) => length / MIB)).toEqual([1, 1.5, 12])
  })

  it('gives every tensor its own bytes, wherever they lie', async () => {
    const range = fc.record({ file: fc.nat(2), offset: fc.nat(190), length: fc.integer({ min: 0, max: 10 }) })
    await fc.assert(
      fc.asyncProperty(fc.array(range, { maxLength: 30 }), async (ranges) => {
        const files = [0, 1, 2].map((file) =>
          counting(
            `${file}`,
            Uint8Array.from({ length: 200 }, (_, i) => i ^ file),
          ),
        )
        const tensors = ranges.map(({ file, offset, length }) => tensor(files[file]!.source, offset, length))
        const runs = new TensorRuns(tensors)
        for (const [i, { file, offset, length }] of ranges.entries()) {
          const expected = Array.from({ length }, (_, j) => (offset + j) ^ file)
          expect([...(await runs.read(tensors[i]!))]).toEqual(expected)
        }
        // Nothing that nobody asked for.
        for (const [file, { reads }] of files.entries()) {
          for (const [start, length] of reads) {
            for (let at = start; at < start + length; at++) {
              expect(ranges.some((one) => one.file === file && one.offset <= at && at < one.offset + one.length)).toBe(
                true,
              )
            }
          }
        }
      }),
      { seed: 2, numRuns: 100 },
    )
  })
})
