/** The filters of the template language that work on one value; those over sequences are in sequenceFilters.ts. */
import { attribute } from './access.ts'
import { Arguments } from './arguments.ts'
import { JinjaError } from './error.ts'
import type { ByName, Filter } from './filter.ts'
import { printf } from './format.ts'
import { toJson } from './json.ts'
import { method } from './methods.ts'
import { roundHalfEven } from './round.ts'
import { createSequenceFilters } from './sequenceFilters.ts'
import { capitalize, replace, split, splitLines, strip } from './text.ts'
import {
  Float,
  isDict,
  isList,
  length,
  numeric,
  repeat,
  str,
  truthy,
  tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

export function createFilters(byName: ByName): ReadonlyMap<string, Filter> {
  return new Map<string, Filter>([...Object.entries(FILTERS), ...createSequenceFilters(byName)])
}

const HTML: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&#39;', '"': '&#34;' }
/** truncate() leaves texts alone that are longer by no more than this. */
const LEEWAY = 5

/** A filter without arguments, over the value's text. */
function onText(name: string, make: (text: string) => Value): Filter {
  return (value, args, kwargs) => {
    new Arguments(name, [], args, kwargs)
    return make(str(value))
  }
}

const fallback: Filter = (value, args, kwargs) => {
  const given = new Arguments('default', ['default_value', 'boolean'], args, kwargs)
  const missing = value instanceof Undefined || (given.flag('boolean', false) && !truthy(value))
  return missing ? (given.get('default_value') ?? '') : value
}

const count: Filter = (value) => length(value)

const escapeHtml: Filter = onText('escape', (text) => text.replace(/[&<>'"]/g, (character) => HTML[character]!))

const FILTERS: Readonly<Record<string, Filter>> = {
  default: fallback,
  d: fallback,
  length: count,
  count,
  escape: escapeHtml,
  e: escapeHtml,
  forceescape: escapeHtml,
  upper: onText('upper', (text) => text.toUpperCase()),
  lower: onText('lower', (text) => text.toLowerCase()),
  capitalize: onText('capitalize', capitalize),
  string: onText('string', (text) => text),
  safe: onText('safe', (text) => text),
  wordcount: onText('wordcount', (text) => (text.match(/[\p{L}\p{N}\p{Pc}]+/gu) ?? []).length),
  title: onText('title', (text) =>
    text
      .split(/([-\s({[<]+)/)
      .map(capitalize)
      .join(''),
  ),
  urlencode: (value) => {
    if (isList(value) || isDict(value)) throw new JinjaError('urlencode: only texts can be encoded here')
    return encodeURIComponent(str(value)).replace(/%2F|[!'()*]/g, (part) =>
      part === '%2F' ? '/' : `%${part.charCodeAt(0).toString(16).toUpperCase()}`,
    )
  },
  trim: (value, args, kwargs) => {
    const characters = new Arguments('trim', ['chars'], args, kwargs).get('chars') ?? null
    if (characters !== null && typeof characters !== 'string') throw new JinjaError('trim: chars must be None or str')
    return strip(str(value), 'both', characters)
  },
  replace: (value, args, kwargs) => {
    const given = new Arguments('replace', ['old', 'new', 'count'], args, kwargs)
    const times = given.get('count') ?? null
    return replace(
      str(value),
      str(given.need('old')),
      str(given.need('new')),
      times === null ? -1 : given.int('count', -1),
    )
  },
  indent: (value, args, kwargs) => {
    const given = new Arguments('indent', ['width', 'first', 'blank'], args, kwargs)
    const width = given.get('width')
    const space = typeof width === 'string' ? width : repeat(' ', given.int('width', 4))
    if (typeof value !== 'string') throw new JinjaError(`indent: the value must be str, not ${typeName(value)}`)
    const blank = given.flag('blank', false)
    const [head = '', ...rest] = splitLines(`${value}\n`)
    const lines = rest.map((line) => (line !== '' || blank ? space + line : line))
    return (given.flag('first', false) ? space : '') + [head, ...lines].join('\n')
  },
  truncate: (value, args, kwargs) => {
    const given = new Arguments('truncate', ['length', 'killwords', 'end', 'leeway'], args, kwargs)
    const [most, end] = [given.int('length', 255), given.text('end', '...')]
    if (length(value) <= most + given.int('leeway', LEEWAY)) return value
    if (typeof value !== 'string') throw new JinjaError(`truncate: the value must be str, not ${typeName(value)}`)
    const characters = [...value]
    const cut = characters.slice(0, Math.max(0, most - end.length)).join('')
    return (given.flag('killwords', false) ? cut : split(cut, ' ', 1, true)[0]!) + end
  },
  center: (value, args, kwargs) => {
    const width = new Arguments('center', ['width'], args, kwargs).int('width', 80)
    return method(str(value), 'center')!([width], new Map())
  },
  format: (value, args, kwargs) => printf(str(value), kwargs.size > 0 ? new Map(kwargs) : tuple(...args)),
  attr: (value, args, kwargs) => attribute(value, new Arguments('attr', ['name'], args, kwargs).text('name')),
  tojson: (value, args, kwargs) => {
    const names = ['ensure_ascii', 'indent', 'separators', 'sort_keys']
    const given = new Arguments('tojson', names, args, kwargs)
    const indent = given.get('indent') ?? null
    const separators = given.get('separators') ?? null
    return toJson(value, {
      ensureAscii: given.flag('ensure_ascii', false),
      indent: indent === null || typeof indent === 'string' ? indent : repeat(' ', given.int('indent', 0)),
      separators: separators === null ? null : pair(separators),
      sortKeys: given.flag('sort_keys', false),
    })
  },
  abs: (value) => {
    const number = needNumber(value, 'abs')
    return value instanceof Float ? new Float(Math.abs(number)) : Math.abs(number)
  },
  int: (value, args, kwargs) => {
    const given = new Arguments('int', ['default', 'base'], args, kwargs)
    if (value instanceof Undefined) value.fail()
    return toInt(value, given.int('base', 10)) ?? given.get('default') ?? 0
  },
  float: (value, args, kwargs) => {
    const given = new Arguments('float', ['default'], args, kwargs)
    if (value instanceof Undefined) value.fail()
    const number = typeof value === 'string' ? floatFrom(value) : numeric(value)
    return number === null ? (given.get('default') ?? new Float(0)) : new Float(number)
  },
  round: (value, args, kwargs) => {
    const given = new Arguments('round', ['precision', 'method'], args, kwargs)
    const number = needNumber(value, 'round')
    const precision = given.int('precision', 0)
    const how = given.text('method', 'common')
    if (how === 'common') {
      const rounded = roundHalfEven(number, precision)
      return value instanceof Float ? new Float(rounded) : rounded
    }
    if (how !== 'ceil' && how !== 'floor') throw new JinjaError('method must be common, ceil or floor')
    return new Float(Math[how](number * 10 ** precision) / 10 ** precision)
  },
}

function pair(value: Value): [string, string] {
  if (isList(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'string') {
    return [value[0], value[1]]
  }
  throw new JinjaError('tojson: separators must be two strings')
}

function needNumber(value: Value, name: string): number {
  if (value instanceof Undefined) value.fail()
  const number = numeric(value)
  if (number === null) throw new JinjaError(`${name}: bad operand type '${typeName(value)}'`)
  return number
}

/** int(value, base), and as Jinja does, "42.23" gives 42; null when there is no number in it. */
function toInt(value: Value, base: number): number | null {
  if (typeof value !== 'string') {
    const number = numeric(value)
    return number === null || !Number.isFinite(number) ? null : Math.trunc(number) + 0
  }
  const text = strip(value, 'both').replace(/(?<=[\da-z])_(?=[\da-z])/gi, '')
  const digits = text
    .replace(/^[-+]/, '')
    .replace(base === 16 ? /^0x/i : base === 8 ? /^0o/i : base === 2 ? /^0b/i : /^$/, '')
  const number = base === 10 && /^\d+$/.test(digits) ? Number(digits) : inBase(digits, base)
  if (number !== null) return text.startsWith('-') ? 0 - number : number
  const float = floatFrom(value)
  return float === null || !Number.isFinite(float) ? null : Math.trunc(float) + 0
}

function inBase(digits: string, base: number): number | null {
  if (base < 2 || base > 36 || digits === '') return null
  const allowed = '0123456789abcdefghijklmnopqrstuvwxyz'.slice(0, base)
  return [...digits.toLowerCase()].every((digit) => allowed.includes(digit)) ? Number.parseInt(digits, base) : null
}

function floatFrom(value: string): number | null {
  const text = strip(value, 'both').toLowerCase()
  const named = /^([-+]?)(inf|infinity|nan)$/.exec(text)
  if (named !== null) return named[2] === 'nan' ? Number.NaN : named[1] === '-' ? -Infinity : Infinity
  const number = text.replace(/(?<=\d)_(?=\d)/g, '')
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/.test(number) ? Number(number) : null
}
