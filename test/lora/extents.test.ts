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

  it('gives all that is free, wherever it lies, when what lies between is slid down', () => {
    const step = fc.record({ free: fc.boolean(), pick: fc.nat(), length: fc.integer({ min: 1, max: 400 }) })
    let numMoves = 0
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const extents = new ExtentAllocator(2048, 16)
        /** What the bytes of each extent are, and the memory they lie in. */
        const live: { extent: Extent; mark: number }[] = []
        const memory = new Uint8Array(2048)
        let mark = 0
        for (const { free, pick, length } of steps) {
          if (free && live.length) extents.free(live.splice(pick % live.length, 1)[0]!.extent)
          else {
            while (extents.hasFree(length) && !extents.canAllocate(length)) {
              const hole = extents.cheapestGap(length)!
              const next = live.find(({ extent }) => extent.offset === hole.offset + hole.length)!
              const to = extents.slideDown(next.extent)
              memory.copyWithin(to.offset, next.extent.offset, next.extent.offset + next.extent.length)
              next.extent = to
              numMoves++
            }
            const rounded = Math.ceil(length / 16) * 16
            const extent = extents.allocate(length)
            expect(extent !== null).toBe(rounded <= 2048 - live.reduce((sum, one) => sum + one.extent.length, 0))
            if (!extent) continue
            mark = (mark % 255) + 1
            memory.fill(mark, extent.offset, extent.offset + extent.length)
            live.push({ extent, mark })
          }
          for (const { extent, mark: own } of live) {
            const bytes = memory.subarray(extent.offset, extent.offset + extent.length)
            expect(bytes.every((byte) => byte === own)).toBe(true)
          }
        }
      }),
      { seed: 9, numRuns: 60 },
    )
    expect(numMoves).toBeGreaterThan(100)
  })

  it('slides nothing that does not lie right behind something free', () => {
    const extents = new ExtentAllocator(64, 8)
    const [one, two, three] = [extents.allocate(8)!, extents.allocate(8)!, extents.allocate(8)!]
    expect(() => extents.slideDown(two)).toThrow(/no room to slide/)
    extents.free(one)
    expect(() => extents.slideDown(three)).toThrow(/no room to slide/)
    expect(extents.slideDown(two)).toEqual({ offset: 0, length: 8 })
    expect(extents.slideDown(three)).toEqual({ offset: 8, length: 8 })
    expect(extents.cheapestGap(1)).toEqual({ offset: 16, length: 48 })
  })

  it('finds the place where least has to be moved', () => {
    // Occupied stretches between free ones of 2: of 5, 1, 3, 1 and 4.
    const extents = new ExtentAllocator(26, 1)
    const live = [2, 5, 2, 1, 2, 3, 2, 1, 2, 4, 2].map((length) => extents.allocate(length)!)
    for (const i of [0, 2, 4, 6, 8, 10]) extents.free(live[i]!)
    const offsetFor = (length: number) => extents.cheapestGap(length)?.offset
    expect(offsetFor(2)).toBe(0)
    expect(offsetFor(3), 'one of the two that stand alone').toBe(live[2]!.offset)
    expect(offsetFor(4)).toBe(live[2]!.offset)
    expect(offsetFor(5), 'one and three').toBe(live[2]!.offset)
    expect(offsetFor(8), 'one, three and one').toBe(live[2]!.offset)
    expect(offsetFor(10), 'all but the five').toBe(live[2]!.offset)
    expect(offsetFor(12)).toBe(0)
    expect(extents.cheapestGap(13)).toBeNull()
    extents.free(live[9]!)
    expect(offsetFor(8)).toBe(live[8]!.offset)
  })

  it('moves no more than any other stretch would cost', () => {
    const step = fc.record({ free: fc.boolean(), pick: fc.nat(), length: fc.integer({ min: 1, max: 30 }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 120 }), (steps, length) => {
        const extents = new ExtentAllocator(120, 1)
        const live: Extent[] = []
        for (const { free, pick, length: each } of steps) {
          if (free && live.length) extents.free(live.splice(pick % live.length, 1)[0]!)
          else live.push(...[extents.allocate(each)].filter((extent) => extent !== null))
        }
        // By hand: what lies between the ends of any stretch of memory that has so much free.
        const isFree = Array<boolean>(120).fill(true)
        for (const { offset, length: each } of live) isFree.fill(false, offset, offset + each)
        let least = Infinity
        for (let from = 0; from < 120; from++) {
          if (!isFree[from]) continue
          let free = 0
          let to = from
          while (to < 120 && free < length) if (isFree[to++]) free++
          if (free >= length) least = Math.min(least, to - from - free)
        }
        let moved = 0
        while (extents.hasFree(length) && !extents.canAllocate(length)) {
          const gap = extents.cheapestGap(length)!
          const next = live.findIndex(({ offset }) => offset === gap.offset + gap.length)
          moved += live[next]!.length
          live[next] = extents.slideDown(live[next]!)
        }
        expect(moved).toBe(least === Infinity ? 0 : least)
      }),
      { seed: 4, numRuns: 200 },
    )
  })
})
