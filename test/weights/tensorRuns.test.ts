import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { TensorInfo } from '../../src/weights/safetensors.ts'
import { bytesSource, type RandomAccess } from '../../src/weights/source.ts'
import { readTensors } from '../../src/weights/tensorRuns.ts'

const MIB = 1024 * 1024

/** A source that counts what is read of it. */
function counting(name: string, bytes: Uint8Array) {
  const inner = bytesSource(name, bytes)
  const reads: [number, number][] = []
  const source: RandomAccess = {
    name,
    size: bytes.length,
    read: (...args) => inner.read(...args),
    readInto: (offset, target, signal) => {
      reads.push([offset, target.byteLength])
      return inner.readInto(offset, target, signal)
    },
    close: () => inner.close(),
  }
  return { source, reads }
}

const tensor = (source: RandomAccess, byteOffset: number, byteLength: number, rows = 1): TensorInfo => {
  return { name: `${byteOffset}`, dtype: 'U8', shape: [rows, byteLength / rows], byteOffset, byteLength, source }
}

/** Everything that comes, put together: by tensor. */
async function readAll(tensors: readonly TensorInfo[], signal?: AbortSignal): Promise<Map<TensorInfo, number[]>> {
  const found = new Map<TensorInfo, number[]>()
  for await (const { tensor, firstRow, bytes } of readTensors(tensors, signal)) {
    const before = found.get(tensor) ?? []
    expect(firstRow * (tensor.shape[1] ?? 0)).toBe(before.length)
    found.set(tensor, [...before, ...bytes])
  }
  return found
}

describe('readTensors', () => {
  it('reads neighbours at once, and nothing between strangers', async () => {
    const { source, reads } = counting(
      'file',
      Uint8Array.from({ length: 100 }, (_, i) => i),
    )
    const [one, two, three] = [tensor(source, 10, 5), tensor(source, 15, 20, 4), tensor(source, 40, 10)]
    const found = await readAll([three, two, one, two])
    expect([...found.keys()]).toEqual([one, two, three])
    expect(found.get(two)).toEqual(Array.from({ length: 20 }, (_, i) => 15 + i))
    expect([found.get(one)![0], found.get(three)![0]]).toEqual([10, 40])
    expect(reads).toEqual([
      [10, 25],
      [40, 10],
    ])
  })

  it('reads no more than two MiB at once, whole rows of what has more', async () => {
    const { source, reads } = counting('file', new Uint8Array(30 * MIB))
    const tensors = [
      tensor(source, 0, MIB),
      tensor(source, MIB, 1.5 * MIB),
      tensor(source, 2.5 * MIB, 4.5 * MIB, 6),
      tensor(source, 7 * MIB, 6 * MIB, 2),
    ]
    const rows: [number, number, number][] = []
    for await (const { tensor, firstRow, bytes } of readTensors(tensors)) {
      rows.push([tensors.indexOf(tensor), firstRow, bytes.length / MIB])
    }
    expect(reads.map(([, length]) => length / MIB)).toEqual([1, 1.5, 1.5, 1.5, 1.5, 3, 3])
    expect(rows).toEqual([
      [0, 0, 1],
      [1, 0, 1.5],
      [2, 0, 1.5],
      [2, 2, 1.5],
      [2, 4, 1.5],
      [3, 0, 3],
      [3, 1, 3],
    ])
  })

  it('asks a server for more at once, as much as it is told', async () => {
    const { source, reads } = counting('file', new Uint8Array(10 * MIB))
    const far = { ...source, isFar: true }
    const tensors = [tensor(far, 0, 3 * MIB, 3), tensor(far, 3 * MIB, MIB), tensor(far, 4 * MIB, 6 * MIB, 6)]
    for await (const _ of readTensors(tensors, undefined, 4 * MIB));
    expect(reads.map(([, length]) => length / MIB)).toEqual([4, 4, 2])
  })

  it('has the next stretch on its way and no more, and leaves none under way', async () => {
    const file = counting('file', new Uint8Array(10 * MIB))
    let underWay = 0
    const source: RandomAccess = {
      ...file.source,
      readInto: async (...args) => {
        underWay++
        await file.source.readInto(...args)
        await new Promise((resolve) => setImmediate(resolve))
        underWay--
      },
    }
    const tensors = Array.from({ length: 5 }, (_, i) => tensor(source, i * 2 * MIB, 2 * MIB))
    for await (const { tensor } of readTensors(tensors)) {
      const index = tensors.indexOf(tensor)
      expect(file.reads).toHaveLength(Math.min(5, index + 2))
      if (index === 2) break
    }
    expect([file.reads.length, underWay]).toEqual([4, 0])
    const broken: RandomAccess = { ...source, readInto: () => Promise.reject(new Error('gone')) }
    await expect(readAll([tensor(broken, 0, 1), tensor(source, 0, 1), tensor(broken, 5, 1)])).rejects.toThrow('gone')
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
        const found = await readAll(tensors)
        for (const [i, { file, offset, length }] of ranges.entries()) {
          const expected = Array.from({ length }, (_, j) => (offset + j) ^ file)
          expect(found.get(tensors[i]!)).toEqual(expected)
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
