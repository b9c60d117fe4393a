import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compilePythonRegex, PythonRegexError } from '../../src/lora/pythonRegex.ts'
import { cpuMs } from '../support/cpuTime.ts'

interface Fixture {
  readonly python: string
  readonly texts: readonly string[]
  readonly cases: readonly (readonly [pattern: string, answers: string | null])[]
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL('../fixtures/lora/python_regex.json', import.meta.url), 'utf8'),
)

/** '3', '1' or '0' per text, as the fixture has them; null when the pattern is refused. */
function answers(pattern: string): string | null {
  try {
    const regex = compilePythonRegex(pattern)
    return fixture.texts.map((text) => (regex.fullmatch(text) ? 2 : 0) + (regex.match(text) ? 1 : 0)).join('')
  } catch (error) {
    expect(error, pattern).toBeInstanceOf(PythonRegexError)
    return null
  }
}

function expectRefusal(pattern: string, what: string): void {
  const compile = () => compilePythonRegex(pattern)
  expect(compile).toThrow(PythonRegexError)
  expect(compile).toThrow(what)
}

describe('compilePythonRegex', () => {
  it(`answers as Python ${fixture.python} over ${fixture.cases.length} patterns`, () => {
    const wrong = fixture.cases.flatMap(([pattern, expected]) => {
      const found = answers(pattern)
      return found === expected ? [] : [{ pattern, expected, found }]
    })
    expect(wrong).toEqual([])
  })

  it('answers as RegExp on the shared subset', () => {
    const atom = fc.constantFrom('a', 'b', '.', '\\.', '\\d', '\\w', '[ab]', '[^a]', '[0-9_]', '\\W')
    const quantifier = fc.constantFrom('', '', '', '*', '+', '?', '*?', '+?', '{2}', '{0,2}', '{1,}')
    const { pattern } = fc.letrec<{ pattern: string; group: string; item: string }>((tie) => ({
      group: tie('pattern').map((inner) => `(${inner})`),
      item: fc
        .tuple(fc.oneof({ weight: 4, arbitrary: atom }, { weight: 1, arbitrary: tie('group') }), quantifier)
        .map(([item, repeat]) => item + repeat),
      pattern: fc.oneof(
        { maxDepth: 3 },
        atom,
        fc.array(tie('item'), { maxLength: 4 }).map((items) => items.join('')),
        fc.tuple(tie('pattern'), tie('pattern')).map((branches) => branches.join('|')),
      ),
    }))
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.', '_', '0', '9', '-'), maxLength: 8 })
    fc.assert(
      fc.property(pattern, text, (source, subject) => {
        const regex = compilePythonRegex(source)
        expect(regex.fullmatch(subject)).toBe(new RegExp(`^(?:${source})$`).test(subject))
        expect(regex.match(subject)).toBe(new RegExp(`^(?:${source})`).test(subject))
      }),
      { numRuns: 3000, seed: 7 },
    )
  })

  it('is not slowed by patterns that make backtracking explode', () => {
    const text = `${'a'.repeat(4000)}!`
    const start = cpuMs()
    for (const pattern of ['(a+)+$', '(a*)*b', '(a|aa)+$', '(a|a)*$', '(.*)*x', '(?:a?){200}a{200}$', '((a*)*)*$']) {
      expect(compilePythonRegex(pattern).fullmatch(text), pattern).toBe(false)
    }
    expect(cpuMs() - start).toBeLessThan(2000)
  })

  it('shares one class test among its copies', () => {
    const ranges = Array.from({ length: 3000 }, () => 'b-c').join('')
    const start = cpuMs()
    expect(compilePythonRegex(`[${ranges}]{9000}`).match('d')).toBe(false)
    expect(cpuMs() - start).toBeLessThan(1000)
  })

  it('stops at the budget', () => {
    const regex = compilePythonRegex('(?:a?){500}')
    const budget = { steps: 10_000 }
    expect(() => regex.fullmatch('a'.repeat(400), budget)).toThrow(/takes too many steps/)
    expect(regex.fullmatch('a'.repeat(400))).toBe(true)
  })

  it.each([
    ['(?=a)', 'lookahead'],
    ['(?!a)', 'lookahead'],
    ['(?<=a)b', 'lookbehind'],
    ['(?<!a)b', 'lookbehind'],
    ['(a)\\1', 'backreference'],
    ['(?P<x>a)(?P=x)', 'backreference'],
    ['(?i)a', 'inline flags'],
    ['(?s:a)', 'inline flags'],
    ['(?-i:a)', 'inline flags'],
    ['a++', 'possessive'],
    ['a?+', 'possessive'],
    ['a{2}+', 'possessive'],
    ['(?>a)', 'atomic'],
    ['(a)?(?(1)b)', 'conditional'],
    ['\\N{DIGIT ONE}', 'named character'],
  ])('refuses %s by name', (pattern, what) => {
    expectRefusal(pattern, what)
  })

  it.each([
    ['repeats in repeats', '((a{100}){100}){100}', 'states'],
    // Counts whose product overflows, hidden behind a repeat of nothing.
    ['overflowing repeats', `(${'('.repeat(40)}a${'{99999999})'.repeat(40)}){0}c{30000}`, 'states'],
    ['long patterns', 'a'.repeat(20_000), 'characters'],
    ['deep patterns', `${'('.repeat(5000)}${')'.repeat(5000)}`, 'deeper'],
  ])('refuses %s', (_, pattern, what) => {
    expectRefusal(pattern, what)
  })

  it('bounds the states of patterns that belong together', () => {
    const budget = { states: 100 }
    compilePythonRegex('a'.repeat(60), budget)
    expect(budget.states).toBeLessThan(40)
    expect(() => compilePythonRegex('a'.repeat(60), budget)).toThrow('one of too many')
  })

  it('throws nothing but its own error, whatever the pattern', () => {
    const piece = fc.constantFrom(...'ab(){}[]*+?|^$\\.-,:<>=!P#019', '(?:', '(?P<', '{2,', '\\d', '[^')
    fc.assert(
      fc.property(fc.string({ unit: piece, maxLength: 25 }), (pattern) => {
        answers(pattern)
      }),
      { numRuns: 5000, seed: 8 },
    )
  })
})
