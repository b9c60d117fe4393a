/** The scanner that finds where a text stops being JSON agrees with JSON.parse on whether it does. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findJsonFault } from '../../src/api/jsonFault.ts'

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe('findJsonFault', () => {
  it.each<[string, number, string]>([
    ['', 0, 'expected a value, found the end of the text'],
    ['{', 1, 'expected a name in double quotes, found the end of the text'],
    ["{'a': 1}", 1, 'expected a name in double quotes, found "\'"'],
    ['{"a" 1}', 5, 'expected ":", found "1"'],
    ['{"a": 1 "b"}', 8, 'expected "," or "}", found "\\""'],
    ['[1, 2', 5, 'expected "," or "]", found the end of the text'],
    ['[1,]', 3, 'expected a value, found "]"'],
    ['"a\nb"', 2, 'a string may not hold the control character "\\n"'],
    ['"a\\x"', 2, 'a bad escape inside a string'],
    ['"abc', 4, 'unexpected end of the text inside a string'],
    ['01', 1, 'unexpected "1" after the end of the value'],
    ['NaN', 0, 'expected a value, found "N"'],
    ['{} 🦜', 3, 'unexpected "🦜" after the end of the value'],
  ])('%j fails at %i', (text, offset, reason) => {
    expect(findJsonFault(text)).toMatchObject({ offset, reason })
  })

  it('counts lines and columns from 1', () => {
    expect(findJsonFault('{\n  "a": 1,\n  b: 2\n}')).toMatchObject({ offset: 14, line: 3, column: 3 })
  })

  it('accepts what is JSON', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.integer({ min: 0, max: 4 }), (json, indent) => {
        expect(findJsonFault(JSON.stringify(JSON.parse(json), null, indent))).toBeNull()
      }),
    )
  })

  it('agrees with JSON.parse on JSON with one character changed, taken out or put in', () => {
    const character = fc.constantFrom(...'{}[]",:0123456789.eE+-\\/bfnrtu \n\t\u0000truefalsn🦜')
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 4 }),
        fc.nat(),
        fc.nat({ max: 1 }),
        fc.option(character),
        (json, at, cut, put) => {
          const place = at % (json.length + 1)
          const text = json.slice(0, place) + (put ?? '') + json.slice(place + cut)
          const fault = findJsonFault(text)
          expect(fault === null).toBe(parses(text))
          if (fault) expect(fault.offset).toBeLessThanOrEqual(text.length)
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('takes nesting without end', () => {
    expect(findJsonFault('['.repeat(1_000_000))).toMatchObject({ offset: 1_000_000 })
  })
})
