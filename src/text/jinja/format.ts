/** Python's two old ways of filling in a text: `'%s' % x` and `'{}'.format(x)`, without the rare corners. */
import { JinjaError } from './error.ts'
import {
  floatText,
  isDict,
  isList,
  numeric,
  repeat,
  repr,
  str,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

const CONVERSION = /%(?:\((\w+)\))?([-+ 0]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])/g
const FIELD = /\{\{|\}\}|\{(\w*)(?::([<>^]?)(0?)(\d+)?(?:\.(\d+))?([sdf])?)?\}|[{}]/g

/** `template % values`: a tuple fills the conversions in order, a dict those with a name. */
export function printf(template: string, values: Value): string {
  const list = values instanceof Tuple ? values : [values]
  let used = 0
  const text = template.replace(
    CONVERSION,
    (
      _,
      name: string | undefined,
      flags: string,
      width: string | undefined,
      precision: string | undefined,
      kind: string,
    ) => {
      if (kind === '%') return '%'
      const value = name === undefined ? list[used++] : isDict(values) ? values.get(name) : undefined
      if (value === undefined) throw new JinjaError('not enough arguments for format string')
      if (value instanceof Undefined && kind !== 's') value.fail()
      const shown = converted(kind, value, precision === undefined ? null : Number(precision), flags)
      return padded(shown, Number(width ?? 0), flags.includes('-') ? '<' : '>', flags.includes('0') ? '0' : ' ')
    },
  )
  // What can be looked into by key may have keys that are not asked for.
  const keyed = isDict(values) || values instanceof Undefined || (isList(values) && !(values instanceof Tuple))
  if (used < list.length && !keyed) throw new JinjaError('not all arguments converted during string formatting')
  return text
}

/** `template.format(...)`. */
export function strFormat(template: string, args: readonly Value[], kwargs: ReadonlyMap<string, Value>): string {
  let next = 0
  return template.replace(
    FIELD,
    (whole, name?: string, align?: string, zero?: string, width?: string, precision?: string, kind?: string) => {
      if (whole === '{{' || whole === '}}') return whole[0]!
      if (name === undefined) throw new JinjaError(`'${template}' is not a format string that can be used here`)
      const value = name === '' ? args[next++] : /^\d+$/.test(name) ? args[Number(name)] : kwargs.get(name)
      if (value === undefined) throw new JinjaError(`there is no value for '{${name}}' in a format string`)
      const shown = converted(kind ?? 's', value, precision === undefined ? null : Number(precision), '')
      const side = align || (numeric(value) === null ? '<' : '>')
      return padded(shown, Number(width ?? 0), side, zero === '0' ? '0' : ' ')
    },
  )
}

function converted(kind: string, value: Value, precision: number | null, flags: string): string {
  if (kind === 's') return precision === null ? str(value) : [...str(value)].slice(0, precision).join('')
  if (kind === 'r') return repr(value)
  const number = numeric(value)
  if (number === null) throw new JinjaError(`%${kind} format: a number is required, not ${typeName(value)}`)
  const sign = number >= 0 && flags.includes('+') ? '+' : ''
  switch (kind) {
    case 'd':
    case 'i':
      return sign + String(Math.trunc(number))
    case 'f':
    case 'F':
      return sign + number.toFixed(Math.min(precision ?? 6, 100))
    case 'e':
      return sign + number.toExponential(Math.min(precision ?? 6, 100)).replace(/e([+-])(\d)$/, 'e$10$2')
    case 'g':
      return (
        sign + floatText(Number(number.toPrecision(Math.min(Math.max(precision ?? 6, 1), 100)))).replace(/\.0$/, '')
      )
    case 'x':
      return sign + Math.trunc(number).toString(16)
    case 'X':
      return sign + Math.trunc(number).toString(16).toUpperCase()
    case 'o':
      return sign + Math.trunc(number).toString(8)
    default:
      throw new JinjaError(`unsupported format character '${kind}'`)
  }
}

function padded(text: string, width: number, side: string, fill: string): string {
  const missing = width - [...text].length
  if (missing <= 0) return text
  if (side === '<') return text + repeat(' ', missing)
  if (side === '^') return repeat(' ', missing >> 1) + text + repeat(' ', missing - (missing >> 1))
  const signed = fill === '0' && /^[-+]/.test(text)
  return signed ? text[0] + repeat(fill, missing) + text.slice(1) : repeat(fill, missing) + text
}
