import { describe, expect, it } from 'vitest'
import { TarError } from '../../src/weights/tar.ts'
import { TarMeter } from '../../src/weights/tarMeter.ts'
import { concat } from './makeSafetensors.ts'
import { type MadeTarEntry, makeTar } from './makeTar.ts'

const MIB = 1024 * 1024
/** Weights as far as their first bytes say. */
const weights = (bytes: number): Uint8Array => {
  const made = new Uint8Array(bytes)
  made.set([0x50, 0x4b, 3, 4])
  return made
}

/** What is kept of `bytes`, given in pieces of `size`. */
function kept(bytes: Uint8Array, size: number, maxBytes = 64 * MIB): number {
  const meter = new TarMeter('made.nemo', maxBytes)
  let sum = 0
  for (let at = 0; at < bytes.byteLength; at += size) sum += meter.take(bytes.subarray(at, at + size))
  return sum
}

const entries: readonly MadeTarEntry[] = [
  { name: 'config', bytes: new Uint8Array(700).fill(7) },
  { name: 'empty' },
  { name: 'weights', bytes: weights(5 * MIB) },
]

describe('TarMeter', () => {
  it.each([1000, 512, 65_536, 10 * MIB])('keeps an archive up to its end, in pieces of %d bytes', (size) => {
    const whole = makeTar(entries, false)
    expect(kept(whole, size)).toBe(whole.byteLength)
    // The block that ends it belongs to it; what pads it does not.
    expect(kept(concat([whole, new Uint8Array(10_240)]), size)).toBe(whole.byteLength + 512)
  })

  it('reads headers of any cut', () => {
    const small = makeTar([{ name: 'a', bytes: new Uint8Array(600) }, { name: 'b' }])
    for (const size of [1, 7, 511, 513]) expect(kept(small, size)).toBe(small.byteLength - 512)
  })

  it.each<[string, Uint8Array, string]>([
    ['what is no archive', new Uint8Array(2048).fill(65), 'a header is broken'],
    ['what goes on behind its end', new Uint8Array(2 * MIB), 'goes on behind its end'],
    ['an entry beyond the limit', makeTar([{ name: 'a', size: 65 * MIB }]), 'at most 67108864 are read'],
    [
      'a large entry that is no weights',
      makeTar([{ name: 'a', bytes: new Uint8Array(5 * MIB) }]),
      'no file of PyTorch',
    ],
    [
      'much beside the weights',
      makeTar([3, 3, 6].map((size, i) => ({ name: `${i}`, bytes: weights(size * MIB) }))),
      'bytes beside its largest entry',
    ],
    ['thousands of entries', makeTar(Array.from({ length: 1001 }, (_, i) => ({ name: `${i}` }))), 'more than 1000'],
  ])('refuses %s', (_, bytes, says) => {
    expect(() => kept(bytes, 65_536)).toThrow(TarError)
    expect(() => kept(bytes, 65_536)).toThrow(says)
  })
})
