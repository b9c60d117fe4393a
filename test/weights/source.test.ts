import { describe, expect, it } from 'vitest'
import { blobSource, bytesSource, type RandomAccess, SourceError } from '../../src/weights/source.ts'

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251)

const kinds: [name: string, make: (bytes: Uint8Array<ArrayBuffer>) => RandomAccess][] = [
  ['bytesSource', (content) => bytesSource('a', content)],
  [
    'bytesSource of a view',
    (content) => bytesSource('a', new Uint8Array([9, ...content, 9]).subarray(1, content.byteLength + 1)),
  ],
  ['blobSource', (content) => blobSource('a', new Blob([content]))],
]

describe.each(kinds)('%s', (_, make) => {
  it('reads any range', async () => {
    const source = make(bytes)
    expect(source.size).toBe(1000)
    for (const [offset, length] of [
      [0, 1000],
      [0, 1],
      [999, 1],
      [3, 500],
      [1000, 0],
      [0, 0],
    ] as const) {
      expect(await source.read(offset, length)).toEqual(bytes.slice(offset, offset + length))
    }
  })

  it('fills a buffer and nothing beside it', async () => {
    const target = new Uint8Array(8).fill(7)
    await make(bytes).readInto(10, target.subarray(2, 5))
    expect([...target]).toEqual([7, 7, 10, 11, 12, 7, 7, 7])
  })

  it("gives bytes that are the caller's own", async () => {
    const source = make(bytes)
    ;(await source.read(0, 4)).fill(99)
    expect([...(await source.read(0, 4))]).toEqual([0, 1, 2, 3])
  })

  it.each([
    [1000, 1],
    [0, 1001],
    [-1, 1],
    [0, -1],
    [0.5, 1],
    [0, Number.NaN],
    [2 ** 53, 1],
  ])('refuses %d + %d', async (offset, length) => {
    await expect(make(bytes).read(offset, length)).rejects.toMatchObject({ code: 'read_out_of_range', param: 'a' })
  })

  it('refuses reads once closed, and closes twice', async () => {
    const source = make(bytes)
    await source.close()
    await source.close()
    await expect(source.read(0, 1)).rejects.toThrow('a is closed.')
  })

  it('stops for its signal', async () => {
    const reason = new Error('enough')
    await expect(make(bytes).read(0, 10, AbortSignal.abort(reason))).rejects.toBe(reason)
  })

  it('has nothing to read in nothing', async () => {
    const source = make(new Uint8Array(0))
    expect(source.size).toBe(0)
    expect((await source.read(0, 0)).byteLength).toBe(0)
    await expect(source.read(0, 1)).rejects.toBeInstanceOf(SourceError)
  })
})

describe('blobSource', () => {
  class BrokenBlob extends Blob {
    override slice(): Blob {
      const stream = () =>
        new ReadableStream({ pull: (controller) => controller.error(new DOMException('gone', 'NotReadableError')) })
      return Object.assign(new Blob([]), { stream })
    }
  }

  it('names a file that has become unreadable', async () => {
    const source = blobSource('a.bin', new BrokenBlob([bytes]))
    await expect(source.read(0, 4)).rejects.toMatchObject({ code: 'file_unreadable', param: 'a.bin' })
  })

  class ShortBlob extends Blob {
    override slice(): Blob {
      return new Blob([bytes.subarray(0, 3)])
    }
  }

  it('notices a file that has become shorter', async () => {
    await expect(blobSource('a.bin', new ShortBlob([bytes])).read(0, 8)).rejects.toMatchObject({
      code: 'file_truncated',
      message: 'a.bin ended early: 3 of 8 bytes at offset 0. Was it changed or cut off?',
    })
  })

  it('stops in the middle when it is aborted', async () => {
    const control = new AbortController()
    class SlowBlob extends Blob {
      override slice(): Blob {
        const stream = () =>
          new ReadableStream<Uint8Array>({
            pull(controller) {
              controller.enqueue(bytes.slice(0, 2))
              control.abort(new Error('enough'))
            },
          })
        return Object.assign(new Blob([]), { stream })
      }
    }
    await expect(blobSource('a', new SlowBlob([bytes])).read(0, 900, control.signal)).rejects.toThrow('enough')
  })
})
