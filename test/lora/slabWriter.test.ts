/** What goes into a slab: every byte in its place, zeros between, a piece at a time. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { type PackedPiece, SlabWriter } from '../../src/lora/slabWriter.ts'
import { UploadTurns } from '../../src/lora/uploadTurns.ts'

const KIB = 1024

/** Used again and again: what was in it must not show. */
const buffer = SlabWriter.makeBuffer().fill(9)

/** A slab full of ones. */
function open(byteLength: number) {
  const slab = new Uint8Array(byteLength).fill(1)
  const uploads: number[] = []
  const gpu = {
    upload: async (_: unknown, offset: number, bytes: Uint8Array) => {
      slab.set(bytes, offset)
      uploads.push(bytes.byteLength)
    },
  } as unknown as Gpu
  const turns = new UploadTurns({ now: () => 0, pause: async () => undefined })
  const fill = async (start: number, byteLength: number, pieces: Iterable<PackedPiece>, signal?: AbortSignal) => {
    const writer = new SlabWriter(gpu, turns, {} as never, start, buffer, signal)
    for (const piece of pieces) await writer.add(piece)
    await writer.end(byteLength)
  }
  return { slab, uploads, turns, fill }
}

describe('SlabWriter', () => {
  it('puts pieces of any length where they belong, and zeros between and behind them', async () => {
    const piece = fc.record({
      gap: fc.integer({ min: 0, max: 100 * KIB }),
      length: fc.integer({ min: 0, max: 300 * KIB }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 4 }), fc.nat(100), async (shape, behind) => {
        const pieces: { offset: number; bytes: Uint8Array }[] = []
        let end = 0
        for (const { gap: wanted, length } of shape) {
          const gap = (-end & 3) + (wanted & ~3)
          const bytes = new Uint8Array(length).map((_, i) => (end + i * 7) | 2)
          pieces.push({ offset: end + gap, bytes })
          end += gap + length
        }
        const { slab, uploads, fill } = open(end + behind + 64)
        await fill(32, end + behind, pieces)
        const expected = new Uint8Array(end + behind + 64).fill(1)
        expected.fill(0, 32, 32 + end + behind)
        for (const { offset, bytes } of pieces) expected.set(bytes, 32 + offset)
        expect(slab.findIndex((byte, i) => byte !== expected[i])).toBe(-1)
        expect(Math.max(0, ...uploads)).toBeLessThanOrEqual(256 * KIB)
        expect(uploads.reduce((sum, one) => sum + one, 0)).toBe(end + behind)
        expect(uploads.length).toBeLessThanOrEqual(2 * shape.length + Math.ceil((end + behind) / (256 * KIB)))
      }),
      { seed: 3, numRuns: 40 },
    )
  })

  it('waits for its turn between two pieces while steps run, and stops when it is told to', async () => {
    const { uploads, turns, fill } = open(1024 * KIB)
    const done = [turns.stepSubmitted()]
    const controller = new AbortController()
    const bytes = new Uint8Array(1024 * KIB)
    const filling = fill(0, bytes.length, [{ offset: 0, bytes }], controller.signal)
    const settle = () => new Promise((resolve) => setImmediate(resolve))
    await settle()
    expect(uploads).toHaveLength(1)
    await settle()
    expect(uploads).toHaveLength(1)
    done.push(turns.stepSubmitted())
    await settle()
    expect(uploads).toHaveLength(2)
    controller.abort(new Error('closed'))
    for (const end of done) end()
    await expect(filling).rejects.toThrow('closed')
    expect(uploads).toHaveLength(2)
  })
})
