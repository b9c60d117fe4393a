import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JinjaError, JinjaSyntaxError } from '../../src/text/jinja/error.ts'
import { strftime } from '../../src/text/jinja/strftime.ts'
import { JinjaTemplate } from '../../src/text/jinja/template.ts'

interface Case {
  readonly template: string
  readonly rendered?: string
  readonly error?: string
}

const reference = JSON.parse(readFileSync(new URL('../fixtures/text/jinja.json', import.meta.url), 'utf8')) as {
  readonly variables: Record<string, unknown>
  readonly cases: readonly Case[]
}
const NOW = new Date(2024, 6, 5, 9, 3, 7)

function render(template: string, variables: Record<string, unknown> = {}): string {
  return new JinjaTemplate(template).render(variables, NOW)
}

/** What it came to: the text, or that it failed. */
function outcome({ template }: Case): Pick<Case, 'template' | 'rendered' | 'error'> {
  try {
    return { template, rendered: render(template, reference.variables) }
  } catch (error) {
    if (error instanceof JinjaSyntaxError) return { template, error: 'TemplateSyntaxError' }
    if (error instanceof JinjaError) return { template, error: 'other' }
    throw error
  }
}

describe('templates', () => {
  it('render as Jinja2 renders them', () => {
    const cases = reference.cases.filter((one) => one.rendered !== undefined)
    expect(cases.length).toBeGreaterThan(350)
    for (const one of cases) expect(outcome(one)).toEqual(one)
  })

  it('fail where Jinja2 fails, before rendering where it is the syntax', () => {
    const cases = reference.cases.filter((one) => one.rendered === undefined)
    expect(cases.length).toBeGreaterThan(30)
    for (const one of cases) {
      // Jinja names two kinds of bad tag syntax differently; both are found before anything is rendered.
      const syntax = one.error === 'TemplateSyntaxError' || one.error === 'TemplateAssertionError'
      expect(outcome(one)).toEqual({ template: one.template, error: syntax ? 'TemplateSyntaxError' : 'other' })
    }
  })

  it('pass raise_exception on word for word and say where anything else happened', () => {
    expect(() => render("{{ raise_exception('No, thanks: ' ~ 3) }}")).toThrow(
      expect.objectContaining({ message: 'No, thanks: 3', raised: true }),
    )
    expect(() => render('a\n\n{{ x.y }}')).toThrow(
      expect.objectContaining({ message: "line 3: 'x' is undefined", raised: false }),
    )
    expect(() => render('a\n{{ 1 + }}')).toThrow(expect.objectContaining({ line: 2 }))
  })
})

describe('strangers’ templates', () => {
  it.each([
    '{% for a in range(90000) %}{% for b in range(90000) %}{{ a }}{% endfor %}{% endfor %}',
    '{% set ns = namespace(s="x") %}{% for a in range(900) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}',
    '{% set ns = namespace(l=[1]) %}{% for a in range(900) %}{% set ns.l = ns.l + ns.l %}{% endfor %}',
    '{{ "x" * 999999999 }}',
    '{{ [1] * 999999999 }}',
    '{{ "x".center(999999999) }}',
    '{{ "%999999999d" % 1 }}',
    '{{ "x" | indent(999999999) }}',
    '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
    '{{ range(1, 9999999) }}',
    '{{ 9 ** 9 ** 9 ** 9 }}',
  ])('%s comes to an end', (template) => {
    expect(() => render(template)).toThrow(JinjaError)
  })

  it('may be nested beyond the stack', () => {
    expect(() => new JinjaTemplate(`{{ ${'('.repeat(100_000)}`)).toThrow(JinjaSyntaxError)
    expect(() => new JinjaTemplate(`{{ ${'not '.repeat(100_000)} x }}`)).toThrow(JinjaSyntaxError)
    const deep = JSON.parse(`${'['.repeat(50_000)}${']'.repeat(50_000)}`) as unknown
    expect(() => render('{{ x | tojson }}', { x: deep })).toThrow(JinjaError)
  })

  it('reach nothing but their variables', () => {
    for (const name of ['constructor', '__proto__', 'prototype', 'toString', 'hasOwnProperty']) {
      expect(render(`{{ x.${name} is defined }}{{ s.${name} is defined }}`, { x: {}, s: '' })).toBe('FalseFalse')
      expect(render(`{{ ${name} is defined }}`)).toBe('False')
      expect(() => render(`{{ x | ${name} }}`, { x: {} })).toThrow(JinjaSyntaxError)
      expect(() => render(`{{ x is ${name} }}`, { x: {} })).toThrow(JinjaSyntaxError)
    }
    expect(render('{{ x.__proto__ }}|{{ x["__proto__"] }}', { x: JSON.parse('{"__proto__": 7}') })).toBe('|7')
  })

  it('end in text or a typed error, whatever they are', () => {
    const piece = fc.constantFrom(
      ...[
        '{{',
        '}}',
        '{%',
        '%}',
        '{#',
        '#}',
        '-',
        '+',
        ' ',
        '\n',
        'x',
        'if',
        'for',
        'in',
        'set',
        'endif',
        'endfor',
        '=',
      ],
      ...[
        '(',
        ')',
        '[',
        ']',
        '{',
        '}',
        '|',
        '.',
        ',',
        "'",
        '"',
        '1',
        '2.5',
        'is',
        'not',
        'and',
        'else',
        'raw',
        'endraw',
      ],
      ...[
        'macro',
        'endmacro',
        'call',
        'filter',
        'join',
        'upper',
        'tojson',
        'loop',
        '~',
        '*',
        '**',
        '//',
        '%',
        ':',
        'é😀',
      ],
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 24 }), (pieces) => {
        try {
          expect(typeof render(pieces.join(' '), { x: [1, 'a', { b: null }] })).toBe('string')
        } catch (error) {
          expect(error instanceof JinjaError || error instanceof JinjaSyntaxError).toBe(true)
        }
      }),
      { seed: 9, numRuns: 3000 },
    )
  })
})

describe('strftime', () => {
  it('writes English, padded unless told not to', () => {
    expect(strftime(NOW, '%d %B %Y, %A %-d/%-m %H:%M:%S %I%p %j %y %e %F %T %% %Q')).toBe(
      '05 July 2024, Friday 5/7 09:03:07 09AM 187 24  5 2024-07-05 09:03:07 % %Q',
    )
  })
})
