import { describe, expect, it } from 'vitest'
import { ropeFrequencies, ropeTable } from '../../src/model/rope.ts'
import type { RopeScaling } from '../../src/model/spec.ts'

const llama3: RopeScaling = {
  type: 'llama3',
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositions: 8192,
}
const spec = (headDim: number, ropeTheta: number, ropeScaling: RopeScaling = { type: 'default' }) => ({
  headDim,
  rotaryDim: headDim,
  ropeTheta,
  ropeScaling,
})

/** The formulas of the papers in double precision, written apart from the code. */
function exactFrequencies(headDim: number, theta: number, scaling: RopeScaling): number[] {
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const plain = Math.exp((-2 * i * Math.log(theta)) / headDim)
    if (scaling.type === 'default') return plain
    if (scaling.type === 'linear') return plain / scaling.factor
    if (scaling.type === 'longrope') return plain / scaling.factors[i]!
    const turns = (scaling.originalMaxPositions * plain) / (2 * Math.PI)
    const kept = (turns - scaling.lowFreqFactor) / (scaling.highFreqFactor - scaling.lowFreqFactor)
    const share = Math.min(1, Math.max(0, kept))
    return share * plain + ((1 - share) * plain) / scaling.factor
  })
}

describe('ropeFrequencies', () => {
  const cases: [name: string, headDim: number, theta: number, scaling: RopeScaling][] = [
    ['default', 128, 10000, { type: 'default' }],
    ['a narrow head', 4, 10000, { type: 'default' }],
    ['a head that is no power of two', 24, 1e6, { type: 'default' }],
    ['linear', 64, 10000, { type: 'linear', factor: 2.5 }],
    ['longrope', 8, 10000, { type: 'longrope', factors: [1, 1.5, 2.25, 7], attentionFactor: 1.2 }],
    ['llama3', 64, 500000, llama3],
    ['llama3 of a tiny context', 24, 50000, { ...llama3, originalMaxPositions: 32 }],
  ]
  it.each(cases)('agrees with the formulas to the last bits of f32: %s', (_, headDim, theta, scaling) => {
    const frequencies = ropeFrequencies(spec(headDim, theta, scaling))
    const exact = exactFrequencies(headDim, theta, scaling)
    expect(frequencies.length).toBe(headDim / 2)
    // Three f32 roundings of half a last bit each (2^-24); the blend of llama3 adds a subtraction of near numbers.
    const tolerance = scaling.type === 'llama3' ? 1e-6 : 4e-7
    for (const [i, frequency] of frequencies.entries())
      expect(Math.abs(frequency / exact[i]! - 1)).toBeLessThan(tolerance)
  })

  it('keeps the fast frequencies of llama3, divides the slow ones, blends between', () => {
    const plain = ropeFrequencies(spec(64, 500000))
    const scaled = ropeFrequencies(spec(64, 500000, llama3))
    const ratios = [...scaled].map((frequency, i) => plain[i]! / frequency)
    expect(ratios[0]).toBe(1)
    expect(ratios.at(-1)).toBe(8)
    expect(ratios.some((ratio) => ratio > 1.1 && ratio < 7.9)).toBe(true)
    expect(ratios).toEqual([...ratios].sort((a, b) => a - b))
  })
})

describe('ropeTable', () => {
  it('holds cosine and sine of position times frequency, pair by pair', () => {
    const table = ropeTable(spec(8, 10000), 3)
    expect(table.length).toBe(3 * 4 * 2)
    expect([...table.subarray(0, 8)]).toEqual([1, 0, 1, 0, 1, 0, 1, 0])
    for (const [pair, frequency] of [1, 0.1, 0.01, 0.001].entries()) {
      expect(table[(2 * 4 + pair) * 2]).toBeCloseTo(Math.cos(2 * frequency), 6)
      expect(table[(2 * 4 + pair) * 2 + 1]).toBeCloseTo(Math.sin(2 * frequency), 6)
    }
  })

  it('multiplies by the attention factor of LongRoPE, and leaves what is not turned', () => {
    const ropeScaling: RopeScaling = { type: 'longrope', factors: [2], attentionFactor: 1.5 }
    const table = ropeTable({ headDim: 6, rotaryDim: 2, ropeTheta: 10000, ropeScaling }, 2)
    expect([...table.subarray(0, 6)]).toEqual([1.5, 0, 1, 0, 1, 0])
    expect(table[6]).toBeCloseTo(1.5 * Math.cos(0.5), 6)
    expect(table[7]).toBeCloseTo(1.5 * Math.sin(0.5), 6)
    expect([...table.subarray(8)]).toEqual([1, 0, 1, 0])
  })

  it('rounds the angle to f32 before the cosine, as transformers does', () => {
    const position = 100_003
    const s = spec(64, 10000)
    const frequency = ropeFrequencies(s)[1]!
    const table = ropeTable(s, position + 1)
    const rounded = Math.fround(Math.cos(Math.fround(position * frequency)))
    expect(table[position * 64 + 2]).toBe(rounded)
    expect(rounded).not.toBe(Math.fround(Math.cos(position * frequency)))
  })

  it('is empty for no positions', () => {
    expect(ropeTable(spec(8, 10000), 0).length).toBe(0)
  })
})
