import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isJsonObject, JsonSyntaxError, type JsonValue, parseJson } from '../../src/weights/json.ts'

/** The same value with ordinary objects (and without the sign of zero). */
const ordinary = (value: JsonValue): unknown => JSON.parse(JSON.stringify(value))

function problemOf(text: string): string {
  try {
    parseJson(text)
  } catch (error) {
    expect(error).toBeInstanceOf(JsonSyntaxError)
    return (error as JsonSyntaxError).message
  }
  return expect.fail(`${text} was accepted`)
}

describe('parseJson', () => {
  it('answers what JSON.parse answers, for all of JSON', () => {
    // No lone surrogates in: they are refused.
    const json = fc.jsonValue({ depthSize: 'medium', stringUnit: 'grapheme' })
    fc.assert(
      fc.property(json, fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        expect(ordinary(parseJson(text))).toEqual(ordinary(JSON.parse(text)))
      }),
      { seed: 7 },
    )
  })

  it('refuses what JSON.parse refuses, and never throws anything else', () => {
    const json = fc.jsonValue({ stringUnit: 'grapheme' }).map((value) => JSON.stringify(value))
    const cut = (text: string, at: number, length: number, insert: string) =>
      text.slice(0, at) + insert + text.slice(at + length)
    fc.assert(
      fc.property(
        json,
        fc.nat(60),
        fc.nat(3),
        fc.constantFrom('', ',', '"', '{', ']', ':', '0', '-', '\\', 'e', ' ', '\u0001'),
        (text, at, length, insert) => {
          const mutant = cut(text, at, length, insert)
          let valid = true
          try {
            JSON.parse(mutant)
          } catch {
            valid = false
          }
          try {
            expect(ordinary(parseJson(mutant))).toEqual(ordinary(JSON.parse(mutant)))
          } catch (error) {
            if (!(error instanceof JsonSyntaxError)) throw error
            // Stricter than JSON.parse in two things only.
            if (valid) expect(error.message).toMatch(/^(Duplicate key|Lone surrogate)/)
          }
        },
      ),
      { numRuns: 2000, seed: 7 },
    )
  })

  it.each([
    ['', 'Unexpected end at line 1, column 1'],
    ['{"a":1,\n "a":2}', 'Duplicate key "a" at line 2, column 2'],
    ['{"a":1,"\\u0061":2}', 'Duplicate key "a" at line 1, column 8'],
    ['{"a":1,}', 'Expected a key in double quotes at line 1, column 8'],
    ["{'a':1}", 'Expected a key in double quotes at line 1, column 2'],
    ['{"a" 1}', "Expected ':' at line 1, column 6"],
    ['{"a":1 "b":2}', "Expected ',' or '}' at line 1, column 8"],
    ['[1 2]', "Expected ',' or ']' at line 1, column 4"],
    ['[1,]', 'Unexpected character at line 1, column 4'],
    ['[\n\n  NaN]', 'Unexpected character at line 3, column 3'],
    ['[Infinity]', 'Unexpected character at line 1, column 2'],
    ['01', 'Unexpected text after the end of the JSON value at line 1, column 2'],
    ['"a', 'Unterminated string or bare control character at line 1, column 3'],
    ['"a\nb"', 'Unterminated string or bare control character at line 1, column 3'],
    ['"\\x"', 'Bad escape in a string at line 1, column 1'],
    ['"\\', 'Unterminated string or bare control character at line 1, column 3'],
    ['"\\ud800"', 'Lone surrogate in a string at line 1, column 1'],
    ['{} // no', 'Unexpected text after the end of the JSON value at line 1, column 4'],
    ['['.repeat(65), 'Nested deeper than 64 levels at line 1, column 65'],
  ])('refuses %j and says where', (text, problem) => {
    expect(problemOf(text)).toBe(problem)
  })

  it('takes names that objects inherit for plain keys', () => {
    const value = parseJson('{"__proto__":{"polluted":1},"constructor":2,"toString":3}')
    expect(isJsonObject(value) && Object.keys(value)).toEqual(['__proto__', 'constructor', 'toString'])
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    expect(isJsonObject(value) && Object.hasOwn(value, 'hasOwnProperty')).toBe(false)
  })

  it('counts values, whatever they are', () => {
    expect(parseJson('{"a":[1,{}]}', 4)).toEqual({ a: [1, {}] })
    expect(() => parseJson('{"a":[1,{}]}', 3)).toThrow('More values than are read at line 1, column 9')
  })

  it('allows 64 levels', () => {
    expect(() => parseJson('['.repeat(64) + ']'.repeat(64))).not.toThrow()
  })
})
