import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseYaml, YamlSyntaxError } from '../../src/weights/yaml.ts'
import { cpuMs } from '../support/cpuTime.ts'

type Case = readonly [text: string, value?: unknown]

const CASES: readonly Case[] = JSON.parse(
  readFileSync(new URL('../fixtures/weights/yaml.json', import.meta.url), 'utf8'),
)

/** The value, or undefined where the text is refused. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(JSON.stringify(parseYaml(text)))
  } catch (error) {
    expect(error, text).toBeInstanceOf(YamlSyntaxError)
    return undefined
  }
}

describe('parseYaml', () => {
  it(`reads ${CASES.length} texts as PyYAML does`, () => {
    const wrong = CASES.flatMap(([text, expected]) => {
      const found = parsed(text)
      return JSON.stringify(found) === JSON.stringify(expected) ? [] : [{ text, expected, found }]
    })
    expect(wrong).toEqual([])
  })

  it.each([
    ['anchors', 'a: &x 1\nb: *x\n', 'Anchors'],
    ['merges', 'a:\n  <<: {b: 1}\n', 'merges'],
    ['tags', 'a: !!python/object/apply:os.system [true]\n', 'tags'],
    ['complex keys', '? [a]\n: b\n', 'line 1'],
    ['double keys', 'a: 1\nb: 2\na: 3\n', 'Duplicate key "a" at line 3'],
    ['double keys in a flow', 'a: {b: 1, b: 2}\n', 'Duplicate key "b" at line 1'],
    ['deep blocks', Array.from({ length: 99 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'), 'deeper'],
    ['deep flows', `a: ${'['.repeat(999)}${']'.repeat(999)}`, 'deeper'],
  ])('refuses %s', (_, text, says) => {
    expect(() => parseYaml(text)).toThrow(YamlSyntaxError)
    expect(() => parseYaml(text)).toThrow(says)
  })

  it('takes __proto__ for a key like any other', () => {
    const value = parseYaml('__proto__:\n  polluted: true\n') as Record<string, unknown>
    expect(Object.keys(value)).toEqual(['__proto__'])
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  it('takes time in proportion to the text', () => {
    const long = 100_000
    const start = cpuMs()
    for (const text of [
      `a${' '.repeat(long)}b`,
      `a: '${'x\n '.repeat(long)}`,
      `a: "${'\\\\'.repeat(long)}`,
      `a: "${'\\\\'.repeat(long)}"`,
      `a: "${' '.repeat(long)}b"`,
      `a: ${'x\n  '.repeat(long)}`,
      `${'- '.repeat(long)}`,
      `a: [${'b, '.repeat(long)}]`,
      `a: ${'#'.repeat(long)}`,
      ':'.repeat(long),
      `a: >\n${'  x\n\n'.repeat(long)}`,
    ]) {
      parsed(text)
    }
    expect(cpuMs() - start).toBeLessThan(3000)
  })

  it('throws nothing but its own error, whatever the text', () => {
    const piece = fc.constantFrom(
      'a',
      'b: ',
      ': ',
      '- ',
      '\n',
      '\n  ',
      '\n    ',
      "'",
      '"',
      '[',
      ']',
      '{',
      '}',
      ',',
      '#',
      ' #',
      '|',
      '>',
      '&x',
      '*',
      '!',
      '?',
      '\t',
      '1',
      '~',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 25 }), (pieces) => {
        parsed(pieces.join(''))
      }),
      { numRuns: 5000, seed: 21 },
    )
  })
})
