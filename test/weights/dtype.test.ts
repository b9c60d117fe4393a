import { describe, expect, it } from 'vitest'
import { f16ToF32, toFloat32 } from '../../src/weights/dtype.ts'

const words = (values: readonly number[]) => new Uint8Array(Uint16Array.from(values).buffer)

describe('f16ToF32', () => {
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
