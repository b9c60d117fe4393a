import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromFloat32, toFloat32 } from '../../src/weights/dtype.ts'

const words = (values: readonly number[]) => new Uint8Array(Uint16Array.from(values).buffer)

describe('a half', () => {
  const f16ToF32 = (bits: number) => toFloat32(words([bits]), 'F16')[0]!

  it.each([
    [0x0000, 0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x0001, 2 ** -24],
    [0x83ff, -1023 * 2 ** -24],
    [0x3555, 0.333251953125],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0xfc00, Number.NEGATIVE_INFINITY],
    [0x7e00, Number.NaN],
  ])('%i is %d', (bits, value) => {
    expect(f16ToF32(bits)).toBe(value)
  })

  it('is sign, exponent and fraction, all 63,488 finite ones', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023]
      if (exponent === 31) continue
      const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15)
      expect(f16ToF32(bits)).toBe(bits & 0x8000 ? -size : size)
    }
  })

  it('keeps the sign of zero', () => {
    expect(Object.is(f16ToF32(0x8000), -0)).toBe(true)
  })
})

describe('toFloat32', () => {
  it('widens each type exactly', () => {
    expect([...toFloat32(words([0x3c00, 0xc000, 0x0001]), 'F16')]).toEqual([1, -2, 2 ** -24])
    expect([...toFloat32(words([0x3f80, 0xc000, 0x7f80, 0x0001]), 'BF16')]).toEqual([
      1,
      -2,
      Number.POSITIVE_INFINITY,
      2 ** -133,
    ])
    expect([...toFloat32(new Uint8Array(Float32Array.of(0.1, -3).buffer), 'F32')]).toEqual([Math.fround(0.1), -3])
  })

  it('reads bytes that are not aligned', () => {
    const shifted = new Uint8Array([9, ...words([0x3c00, 0x4000])]).subarray(1)
    expect([...toFloat32(shifted, 'F16')]).toEqual([1, 2])
  })
})

describe('fromFloat32', () => {
  const bitsOf = (values: readonly number[], dtype: 'F16' | 'BF16') => {
    return [...new Uint16Array(fromFloat32(Float32Array.from(values), dtype).buffer)]
  }

  it.each(['F16', 'BF16'] as const)('gives back every %s', (dtype) => {
    const all = Uint16Array.from({ length: 65_536 }, (_, bits) => bits)
    const values = toFloat32(new Uint8Array(all.buffer), dtype)
    const back = new Uint16Array(fromFloat32(values, dtype).buffer)
    for (const [bits, value] of values.entries()) {
      if (Number.isNaN(value)) expect(toFloat32(words([back[bits]!]), dtype)[0]).toBeNaN()
      else expect(back[bits]).toBe(bits)
    }
  })

  it.each(['F16', 'BF16'] as const)('rounds to the nearest %s, halfway to the even one', (dtype) => {
    const widened = (bits: number) => toFloat32(words([bits]), dtype)[0]!
    const last = dtype === 'F16' ? 0x7c00 : 0x7f80 // infinity, one step above the largest
    const infinity = dtype === 'F16' ? 65_536 : 2 ** 128
    fc.assert(
      fc.property(fc.nat(last - 1), fc.constantFrom(0, 0.25, 0.5, 0.75), fc.boolean(), (bits, share, isNegative) => {
        const [low, high] = [widened(bits), bits + 1 === last ? infinity : widened(bits + 1)]
        const value = low + (high - low) * share
        fc.pre(Math.fround(value) === value)
        const wanted = share === 0.5 ? bits + (bits & 1) : bits + (share > 0.5 ? 1 : 0)
        const sign = isNegative ? 0x8000 : 0
        expect(bitsOf([isNegative ? -value : value], dtype)).toEqual([sign | wanted])
      }),
      { numRuns: 3000 },
    )
  })

  it('keeps the signs of zeros and infinities, and goes to infinity where a type ends', () => {
    const values = [0, -0, 1 / 0, -1 / 0, 65_519, 65_520, -65_520, 2 ** -25, 1.001 * 2 ** -25, 2 ** -60]
    expect(bitsOf(values, 'F16')).toEqual([0, 0x8000, 0x7c00, 0xfc00, 0x7bff, 0x7c00, 0xfc00, 0, 1, 0])
    expect(bitsOf([0, -0, 1 / 0, -1 / 0, 3.4e38], 'BF16')).toEqual([0, 0x8000, 0x7f80, 0xff80, 0x7f80])
    expect(toFloat32(fromFloat32(Float32Array.of(0.1, -3), 'F32'), 'F32')).toEqual(Float32Array.of(0.1, -3))
  })
})
