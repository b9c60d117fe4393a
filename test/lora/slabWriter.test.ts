/** What goes into a slab: every byte in its place, in pieces that leave the steps their time. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { SlabWriter } from '../../src/lora/slabWriter.ts'
import { UploadTurns } from '../../src/lora/uploadTurns.ts'

const KIB = 1024
const MIB = 1024 * KIB

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
  const writer = (start: number, signal?: AbortSignal) => new SlabWriter(gpu, turns, {} as never, start, signal)
  return { slab, uploads, turns, writer }
}

describe('SlabWriter', () => {
  it('puts bytes where they belong and touches nothing else, in as few writes as there may be', async () => {
    const write = fc.record({ gap: fc.nat(100), words: fc.nat(300 * KIB) })
    await fc.assert(
      fc.asyncProperty(fc.array(write, { maxLength: 4 }), fc.boolean(), async (shape, isBusy) => {
        const length = shape.reduce((sum, { gap, words }) => sum + 4 * (gap + words), 64)
        const { slab, uploads, turns, writer } = open(length)
        const submit = () => turns.stepSubmitted()
        const steps = isBusy ? setInterval(submit, 0) : undefined
        if (isBusy) submit()
        const expected = new Uint8Array(length).fill(1)
        const one = writer(32)
        let end = 0
        for (const { gap, words } of shape) {
          end += 4 * gap
          const bytes = new Uint8Array(4 * words).map((_, i) => (end + i * 7) | 2)
          await one.write(end, bytes)
          expected.set(bytes, 32 + end)
          end += bytes.byteLength
        }
        clearInterval(steps)
        expect(slab.findIndex((byte, i) => byte !== expected[i])).toBe(-1)
        const piece = isBusy ? 256 * KIB : 4 * MIB
        const fewest = shape.map(({ words }) => Math.ceil((4 * words) / piece))
        expect(Math.max(0, ...uploads)).toBeLessThanOrEqual(piece)
        expect(uploads.length).toBe(fewest.reduce((sum, each) => sum + each, 0))
      }),
      { seed: 3, numRuns: 30 },
    )
  })

  it('waits for its turn between two pieces while steps run, and stops when it is told to', async () => {
    const { uploads, turns, writer } = open(1024 * KIB)
    const done = [turns.stepSubmitted()]
    const controller = new AbortController()
    const bytes = new Uint8Array(1024 * KIB)
    const filling = writer(0, controller.signal).write(0, bytes)
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
