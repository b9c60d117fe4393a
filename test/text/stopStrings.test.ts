import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StopStringError } from '../../src/text/errors.ts'
import { StopStrings } from '../../src/text/stopStrings.ts'
import { cpuMs } from '../support/cpuTime.ts'

/** The definition, searched the slow way: the stop that ends first wins, of several the one given first. */
function naive(text: string, stops: readonly string[]): { end: number; stop: string } | null {
  for (let end = 1; end <= text.length; end++) {
    const stop = stops.find((one) => text.slice(0, end).endsWith(one))
    if (stop !== undefined) return { end, stop }
  }
  return null
}

function run(
  pieces: readonly string[],
  stops: readonly string[],
  includeStop = false,
): { out: string; matched: string | null } {
  const matcher = new StopStrings(stops, { includeStop })
  let out = ''
  for (const piece of pieces) out += matcher.push(piece).emit
  out += matcher.flush()
  return { out, matched: matcher.push('').matched }
}

describe('StopStrings', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '😀', '\n'), maxLength: 12 })
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '😀', '\n'), minLength: 1, maxLength: 5 }), {
    maxLength: 4,
  })

  it('equals a naive search however the text is cut', () => {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), stops, fc.boolean(), (pieces, list, includeStop) => {
        const text = pieces.join('')
        const found = naive(text, list)
        const end = found === null ? text.length : includeStop ? found.end : found.end - found.stop.length
        expect(run(pieces, list, includeStop)).toEqual({ out: text.slice(0, end), matched: found?.stop ?? null })
      }),
      { seed: 2, numRuns: 3000 },
    )
  })

  it('holds back only what could still become a stop string', () => {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), stops, (pieces, list) => {
        const matcher = new StopStrings(list)
        let seen = ''
        let out = ''
        for (const piece of pieces) {
          const { emit, matched } = matcher.push(piece)
          seen += piece
          out += emit
          if (matched !== null) return
          const held = seen.slice(out.length)
          expect(held === '' || list.some((stop) => stop.startsWith(held))).toBe(true)
        }
      }),
      { seed: 4, numRuns: 1000 },
    )
  })

  it('reports a match at once and drops what follows', () => {
    const matcher = new StopStrings(['END'])
    expect(matcher.push('the E')).toEqual({ emit: 'the ', matched: null })
    expect(matcher.push('ND and more')).toEqual({ emit: '', matched: 'END' })
    expect(matcher.push('more')).toEqual({ emit: '', matched: 'END' })
    expect(matcher.flush()).toBe('')
  })

  it('gives back what was no stop string after all', () => {
    const matcher = new StopStrings(['\n\nUser:'])
    expect(matcher.push('hi\n\nUse').emit).toBe('hi')
    expect(matcher.push(' it').emit).toBe('\n\nUse it')
    expect(matcher.push('\n').emit).toBe('')
    expect(matcher.flush()).toBe('\n')
  })

  it('lets the first complete one win, and of equals the one given first', () => {
    expect(run(['xabcd'], ['abcd', 'bc'])).toEqual({ out: 'xa', matched: 'bc' })
    expect(run(['xabc'], ['abc', 'bc'])).toEqual({ out: 'x', matched: 'abc' })
    expect(run(['xabc'], ['bc', 'abc'])).toEqual({ out: 'xa', matched: 'bc' })
  })

  it('includes the stop string when asked, and then delays nothing', () => {
    const matcher = new StopStrings(['END'], { includeStop: true })
    expect(matcher.push('the E').emit).toBe('the E')
    expect(matcher.push('ND.')).toEqual({ emit: 'ND', matched: 'END' })
  })

  it('passes everything without stop strings and refuses an empty one', () => {
    expect(run(['a', 'b'], [])).toEqual({ out: 'ab', matched: null })
    expect(() => new StopStrings(['a', ''])).toThrow(StopStringError)
    expect(() => new StopStrings(['a', ''])).toThrow('stop[1]')
  })

  it('is linear in the text, also for a periodic stop string', () => {
    const matcher = new StopStrings([`${'a'.repeat(5000)}b`])
    const started = cpuMs()
    let out = 0
    for (let i = 0; i < 100; i++) out += matcher.push('a'.repeat(5000)).emit.length
    expect(out).toBe(99 * 5000)
    expect(cpuMs() - started).toBeLessThan(20_000)
  })
})
