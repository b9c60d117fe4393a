import { describe, expect, it } from 'vitest'
import { gunzip, isGzip } from '../../src/weights/gzip.ts'
import { bytesSource, type RandomAccess } from '../../src/weights/source.ts'
import { Random } from '../support/random.ts'

async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream('gzip'))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** Bytes that compress a little. */
const noise = (length: number) => Uint8Array.from(new Random(7).floats(length), (value) => Math.abs(value) * 40)

const source = (bytes: Uint8Array): RandomAccess => bytesSource('some.nemo', bytes)

describe('gunzip', () => {
  it.each([0, 1, 1000, 1_500_000])('reads %d bytes at random', async (length) => {
    const bytes = noise(length)
    const packed = source(await gzip(bytes))
    expect(await isGzip(packed)).toBe(true)
    const unpacked = await gunzip(packed, length)
    expect(unpacked.size).toBe(length)
    expect(await unpacked.read(0, length)).toEqual(bytes)
    for (const [at, count] of [
      [0, 1],
      [Math.floor(length / 2), Math.floor(length / 3)],
      [length - 1, 1],
    ] as const) {
      if (at >= 0 && at + count <= length) expect(await unpacked.read(at, count)).toEqual(bytes.slice(at, at + count))
    }
  })

  it('stops where more comes out than is allowed', async () => {
    const zeros = source(await gzip(new Uint8Array(50_000_000)))
    expect(zeros.size).toBeLessThan(100_000)
    await expect(gunzip(zeros, 1_000_000)).rejects.toMatchObject({ code: 'file_too_large', param: 'some.nemo' })
  })

  it('names a file that is broken or cut off', async () => {
    const packed = await gzip(noise(10_000))
    const broken = packed.slice()
    broken[2000]! ^= 0x55
    for (const bytes of [
      packed.subarray(0, 3000),
      packed.subarray(0, packed.length - 3),
      broken,
      packed.subarray(0, 2),
    ]) {
      await expect(gunzip(source(bytes), 1e6)).rejects.toMatchObject({ code: 'gzip_invalid', param: 'some.nemo' })
    }
  })

  it('ends when nobody wants it any more', async () => {
    const packed = source(await gzip(noise(1_000_000)))
    await expect(gunzip(packed, 1e7, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
  })

  it('is not asked for what is something else', async () => {
    expect(await isGzip(source(new Uint8Array([0x1f])))).toBe(false)
    expect(await isGzip(source(new Uint8Array([0x1f, 0x8c, 8])))).toBe(false)
  })
})
