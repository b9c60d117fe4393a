/** The strip's and the charts' pictures of steps, as plain data. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blendOf, partsOf } from '../../demo/src/app/blendNames.ts'
import { BASE_PLUME, PLUMAGE, Plumes, plume } from '../../demo/src/app/palette.ts'
import type { Step, StepRows } from '../../demo/src/engine/types.ts'
import { batchAverages, rateSeries, rowSeries } from '../../demo/src/meters/series.ts'
import { columnOf, numRows, StepLog, stepInWords } from '../../demo/src/strip/steps.ts'

const row = (adapter: string | null, decode: number, prefill = 0): StepRows => ({ adapter, prefill, decode })
const step = (index: number, rows: readonly StepRows[], at = index * 100): Step => ({
  step: index,
  at_ms: at,
  ms: 10,
  rows,
})

describe('a column', () => {
  it('has a cell for each sequence, the base below, and a prompt as one block by its square root', () => {
    const { blocks, height } = columnOf(step(1, [row('b', 2), row('a', 1, 16), row(null, 1)]), null, [null, 'a', 'b'])
    expect(blocks).toEqual([
      { adapter: null, isPrefill: false, height: 1 },
      { adapter: 'a', isPrefill: false, height: 1 },
      { adapter: 'a', isPrefill: true, height: 4 },
      { adapter: 'b', isPrefill: false, height: 1 },
      { adapter: 'b', isPrefill: false, height: 1 },
    ])
    expect(height).toBe(8)
  })

  it('knows when the engine had rested before', () => {
    const before = step(1, [row(null, 1)], 100)
    expect(columnOf(step(2, [], 130), before, []).followsPause).toBe(false)
    expect(columnOf(step(2, [], 1000), before, []).followsPause).toBe(true)
    expect(columnOf(step(2, [], 1000), null, []).followsPause).toBe(false)
  })

  it('can be said in words', () => {
    const words = stepInWords(step(7, [row(null, 1), row('pirate', 2, 5)]), 'tiny')
    expect(words).toBe('Step 7: 8 rows in 10.0 ms. tiny 1 decoding, pirate 5 of a prompt and 2 decoding.')
  })
})

describe('the log of steps', () => {
  it('keeps the newest, in order and without doubles, whatever comes', () => {
    const batches = fc.array(fc.array(fc.nat(40), { maxLength: 12 }), { maxLength: 8 })
    fc.assert(
      fc.property(batches, fc.integer({ min: 1, max: 9 }), (all, most) => {
        const log = new StepLog(most)
        let last = -1
        let sum = 0
        for (const indices of all) {
          const ascending = [...new Set(indices)].sort((a, b) => a - b)
          const fresh = ascending.filter((index) => index > last)
          expect(log.add(ascending.map((index) => step(index, [])))).toBe(fresh.length)
          sum += fresh.length
          last = fresh.at(-1) ?? last
          const kept = log.all.map((each) => each.step)
          expect(kept).toEqual([...new Set(kept)].sort((a, b) => a - b))
          expect(kept).toHaveLength(Math.min(most, sum))
          expect(log.last?.step ?? -1).toBe(last)
        }
      }),
    )
  })
})

describe('the series', () => {
  it('stack tokens a second by adapter, and no token is lost or counted twice', () => {
    const names = [null, 'a', 'b'] as const
    const anyRow = fc.record({
      adapter: fc.constantFrom(...names),
      prefill: fc.nat(50),
      decode: fc.nat(8),
    })
    const anySteps = fc.array(fc.tuple(fc.nat(9_999), fc.array(anyRow, { maxLength: 4 })), { maxLength: 40 })
    fc.assert(
      fc.property(anySteps, (raw) => {
        const steps = raw.map(([at, rows], index) => step(index, rows, at))
        const { times, stacked } = rateSeries(steps, names, 10_000, 10, 500)
        expect(times).toHaveLength(20)
        expect(times.at(-1)).toBe(0)
        const tokens = steps.flatMap(({ rows }) => rows).reduce((sum, { decode }) => sum + decode, 0)
        const drawn = stacked.at(-1)!.reduce((sum, rate) => sum + rate * 0.5, 0)
        expect(drawn).toBeCloseTo(tokens)
        for (const [index, series] of stacked.entries()) {
          const below = stacked[index - 1]
          for (const [i, value] of series.entries()) expect(value).toBeGreaterThanOrEqual(below?.[i] ?? 0)
        }
      }),
    )
  })

  it('stack the rows of the last steps', () => {
    const steps = [step(1, [row(null, 9)]), step(2, [row(null, 1), row('a', 2, 3)]), step(3, [row('a', 1)])]
    expect(rowSeries(steps, [null, 'a'], 2)).toEqual({
      steps: [2, 3],
      stacked: [
        [1, 0],
        [6, 1],
      ],
    })
    expect(batchAverages(steps)).toEqual({ rows: (9 + 6 + 1) / 3, voices: (1 + 2 + 1) / 3 })
    expect(batchAverages([])).toEqual({ rows: 0, voices: 0 })
    expect(numRows(steps[1]!)).toBe(6)
  })
})

describe('plumes', () => {
  it('stay with their voices, and go on to others only when these have gone', () => {
    const plumes = new Plumes()
    plumes.keep(['a', 'b', 'c'])
    const [a, b, c] = ['a', 'b', 'c'].map((name) => plumes.of(name))
    expect(new Set([a, b, c]).size).toBe(3)
    plumes.keep(['c', 'a', 'd'])
    expect([plumes.of('a'), plumes.of('c'), plumes.of('d')]).toEqual([a, c, b])
    expect(plumes.of(null)).toBe(BASE_PLUME)
  })

  it('are many more than ten', () => {
    const hues = Array.from({ length: 40 }, (_, index) => JSON.stringify(plume(index)))
    expect(new Set(hues).size).toBe(40)
    expect(plume(3)).toEqual(PLUMAGE[3])
  })

  it('of a blend are those of its parts', () => {
    expect(partsOf('melville:0.5+king-james:-1e-3')).toEqual(['melville', 'king-james'])
    expect(partsOf('melville')).toEqual(['melville'])
    expect(partsOf(null)).toEqual([])
    expect(blendOf('a:0.5+b:0.5')).toBe('a × b')
    expect(blendOf(null)).toBeNull()
  })
})
