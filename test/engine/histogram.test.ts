import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Histogram } from '../../src/engine/histogram.ts'

describe('Histogram', () => {
  it('counts a value that is a bound below it, and what is above all bounds in none', () => {
    const histogram = new Histogram([1, 2, 4])
    for (const value of [0, 1, 1.5, 2, 4, 5]) histogram.observe(value)
    expect(histogram.cumulative()).toEqual([2, 4, 5])
    expect(histogram.count).toBe(6)
    expect(histogram.sum).toBe(13.5)
  })

  it('agrees with counting one by one', () => {
    const bounds = fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(bounds, fc.array(fc.integer({ min: -60, max: 60 })), (unsorted, values) => {
        const sorted = unsorted.toSorted((one, other) => one - other)
        const histogram = new Histogram(sorted)
        for (const value of values) histogram.observe(value)
        expect(histogram.cumulative()).toEqual(sorted.map((bound) => values.filter((value) => value <= bound).length))
        expect(histogram.count).toBe(values.length)
        expect(histogram.sum).toBe(values.reduce((sum, value) => sum + value, 0))
      }),
      { seed: 4, numRuns: 300 },
    )
  })

  it('wants bounds that ascend', () => {
    expect(() => new Histogram([1, 1])).toThrow('ascend')
  })
})
