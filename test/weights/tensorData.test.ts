import { describe, expect, it } from 'vitest'
import type { TensorInfo } from '../../src/weights/safetensors.ts'
import { bytesSource } from '../../src/weights/source.ts'
import { readTensor, type TensorSlice, tensorSlices } from '../../src/weights/tensorData.ts'

const content = Uint8Array.from({ length: 300 }, (_, i) => i & 255)
const tensorOf = (byteOffset: number, byteLength: number): TensorInfo => ({
  name: 't',
  dtype: 'U8',
  shape: [byteLength],
  byteOffset,
  byteLength,
  source: bytesSource('a', content),
})

/** Copies of the slices: their buffer is used again. */
async function collect(slices: AsyncIterable<TensorSlice>): Promise<{ byteOffset: number; bytes: number[] }[]> {
  const found = []
  for await (const { byteOffset, bytes } of slices) found.push({ byteOffset, bytes: [...bytes] })
  return found
}

describe('readTensor', () => {
  it('reads exactly the tensor', async () => {
    expect(await readTensor(tensorOf(7, 5))).toEqual(content.slice(7, 12))
    expect(await readTensor(tensorOf(300, 0))).toEqual(new Uint8Array(0))
  })
})

describe('tensorSlices', () => {
  it.each([
    [16, 100],
    [17, 100],
    [100, 100],
    [1000, 100],
    [4, 3],
    [8, 0],
    [8, 10],
  ])('tiles the tensor: slices of %d, %d bytes', async (maxBytes, byteLength) => {
    const slices = await collect(tensorSlices(tensorOf(11, byteLength), maxBytes))
    expect(slices.flatMap(({ bytes }) => bytes)).toEqual([...content.subarray(11, 11 + byteLength)])
    let expected = 0
    for (const [i, { byteOffset, bytes }] of slices.entries()) {
      expect(byteOffset).toBe(expected)
      expect(bytes.length).toBeLessThanOrEqual(maxBytes)
      expect(bytes.length).toBeGreaterThan(0)
      if (i < slices.length - 1) expect(bytes.length % 4).toBe(0)
      expected += bytes.length
    }
  })

  it('uses one buffer for all slices, zeroed behind the last one up to a multiple of four', async () => {
    const buffers = new Set<ArrayBuffer>()
    for await (const { bytes } of tensorSlices(tensorOf(0, 30), 16)) {
      buffers.add(bytes.buffer)
      expect(bytes.byteOffset).toBe(0)
      const padded = new Uint8Array(bytes.buffer, 0, Math.ceil(bytes.byteLength / 4) * 4)
      expect([...padded.subarray(bytes.byteLength)].every((byte) => byte === 0)).toBe(true)
    }
    expect(buffers.size).toBe(1)
    expect([...buffers][0]!.byteLength).toBe(16)
  })

  it('takes a scratch buffer, and no more of it than maxBytes', async () => {
    const scratch = new ArrayBuffer(64)
    const lengths = []
    for await (const { bytes } of tensorSlices(tensorOf(0, 100), 32, undefined, scratch)) {
      expect(bytes.buffer).toBe(scratch)
      lengths.push(bytes.byteLength)
    }
    expect(lengths).toEqual([32, 32, 32, 4])
    expect(
      (await collect(tensorSlices(tensorOf(0, 100), undefined, undefined, scratch))).map(({ bytes }) => bytes.length),
    ).toEqual([64, 36])
  })

  it('needs no more memory than a small tensor has', async () => {
    for await (const { bytes } of tensorSlices(tensorOf(0, 6))) expect(bytes.buffer.byteLength).toBe(8)
  })

  it('refuses slices that cannot be whole words', async () => {
    await expect(collect(tensorSlices(tensorOf(0, 6), 3))).rejects.toMatchObject({ code: 'read_out_of_range' })
  })

  it('stops when it is aborted between slices', async () => {
    const control = new AbortController()
    const seen: number[] = []
    const run = async () => {
      for await (const { byteOffset } of tensorSlices(tensorOf(0, 100), 16, control.signal)) {
        seen.push(byteOffset)
        if (byteOffset === 32) control.abort(new Error('enough'))
      }
    }
    await expect(run()).rejects.toThrow('enough')
    expect(seen).toEqual([0, 16, 32])
  })
})
