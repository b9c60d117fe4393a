import { describe, expect, it } from 'vitest'
import { gunzip, isGzip, type Keep } from '../../src/weights/gzip.ts'
import { bytesSource, type RandomAccess, SourceError } from '../../src/weights/source.ts'
import { Random } from '../support/random.ts'

async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream('gzip'))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** Bytes that compress a little. */
const noise = (length: number) => Uint8Array.from(new Random(7).floats(length), (value) => Math.abs(value) * 40)

const all = (piece: Uint8Array): number => piece.byteLength
const source = (bytes: Uint8Array): RandomAccess => bytesSource('some.nemo', bytes)

describe('gunzip', () => {
  it.each([0, 1, 1000, 1_500_000])('reads %d bytes at random', async (length) => {
    const bytes = noise(length)
    const packed = source(await gzip(bytes))
    expect(await isGzip(packed)).toBe(true)
    const unpacked = await gunzip(packed, all)
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

  it('stops when it is told to, and keeps what it is told to', async () => {
    const zeros = source(await gzip(new Uint8Array(50_000_000)))
    expect(zeros.size).toBeLessThan(100_000)
    let seen = 0
    const some: Keep = (piece) => {
      seen += piece.byteLength
      if (seen > 1_000_000) throw new SourceError('file_too_large', 'some.nemo', 'enough')
      return 1
    }
    await expect(gunzip(zeros, some)).rejects.toMatchObject({ code: 'file_too_large', param: 'some.nemo' })
    expect(seen).toBeLessThan(2_000_000)
    const bytes = noise(200_000)
    let left = 70_000
    const unpacked = await gunzip(source(await gzip(bytes)), (piece) => {
      const kept = Math.min(left, piece.byteLength)
      left -= kept
      return kept
    })
    expect(await unpacked.read(0, unpacked.size)).toEqual(bytes.slice(0, 70_000))
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
      await expect(gunzip(source(bytes), all)).rejects.toMatchObject({ code: 'gzip_invalid', param: 'some.nemo' })
    }
  })

  it('ends when nobody wants it any more', async () => {
    const packed = source(await gzip(noise(1_000_000)))
    await expect(gunzip(packed, all, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
  })

  it('is not asked for what is something else', async () => {
    expect(await isGzip(source(new Uint8Array([0x1f])))).toBe(false)
    expect(await isGzip(source(new Uint8Array([0x1f, 0x8c, 8])))).toBe(false)
  })
})
