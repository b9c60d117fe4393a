import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Extent, ExtentAllocator } from '../../src/lora/extents.ts'

describe('ExtentAllocator', () => {
  it('rounds up to the granule and fits first', () => {
    const extents = new ExtentAllocator(100, 8)
    expect(extents.capacity).toBe(96)
    const [one, two] = [extents.allocate(1)!, extents.allocate(17)!]
    expect([one, two]).toEqual([
      { offset: 0, length: 8 },
      { offset: 8, length: 24 },
    ])
    extents.free(one)
    expect(extents.allocate(16)).toEqual({ offset: 32, length: 16 })
    expect(extents.allocate(8)).toEqual({ offset: 0, length: 8 })
    expect(extents.canAllocate(49)).toBe(false)
    expect(extents.allocate(49)).toBeNull()
    expect(extents.allocate(48)).toEqual({ offset: 48, length: 48 })
    expect(extents.freeLength).toBe(0)
  })

  it('refuses a second free', () => {
    const extents = new ExtentAllocator(64, 8)
    const one = extents.allocate(8)!
    extents.allocate(8)
    extents.free(one)
    expect(() => extents.free(one)).toThrow(/freed twice/)
  })

  it('never hands out a byte twice, and is whole again when all is freed', () => {
    const step = fc.record({ free: fc.boolean(), pick: fc.nat(), length: fc.integer({ min: 1, max: 300 }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const extents = new ExtentAllocator(2048, 16)
        const live: Extent[] = []
        for (const { free, pick, length } of steps) {
          if (free && live.length) extents.free(live.splice(pick % live.length, 1)[0]!)
          else {
            const could = extents.canAllocate(length)
            const extent = extents.allocate(length)
            expect(extent !== null).toBe(could)
            if (extent) live.push(extent)
          }
          const sorted = [...live].sort((one, other) => one.offset - other.offset)
          sorted.forEach((extent, i) => {
            expect(extent.offset + extent.length).toBeLessThanOrEqual(sorted[i + 1]?.offset ?? extents.capacity)
          })
          expect(extents.freeLength).toBe(2048 - live.reduce((sum, extent) => sum + extent.length, 0))
        }
        for (const extent of live) extents.free(extent)
        expect(extents.largestFree).toBe(2048)
      }),
      { seed: 7, numRuns: 200 },
    )
  })
})
