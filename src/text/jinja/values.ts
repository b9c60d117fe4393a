/**
 * Python's values as a template sees them: how they print, compare, iterate and count as true. Chat templates are
 * written against Python; where JavaScript would print `true` or join a list with commas, the prompt would be wrong
 * without anyone noticing.
 *
 * int, str, bool, None are number, string, boolean, null; a float is a Float (3.0 is not 3), a list an array, a tuple a
 * Tuple, a dict a Map.
 */
import { JinjaError } from './error.ts'

export type Value =
  | null
  | boolean
  | number
  | string
  | Float
  | Undefined
  | Namespace
  | Generator
  | Native
  | Callable
  | readonly Value[]
  | ReadonlyMap<Key, Value>

/** What can be a dict's key. */
export type Key = string | number | boolean | null

export type Kwargs = ReadonlyMap<string, Value>

/** A function, method or macro. */
export type Callable = (args: readonly Value[], kwargs: Kwargs) => Value

export class Float {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }
}

export class Tuple extends Array<Value> {
  static override get [Symbol.species](): ArrayConstructor {
    return Array
  }
}

/** What a missing name or attribute gives: prints as nothing, is false, and fails when it is used. */
export class Undefined {
  readonly message: string

  constructor(message: string) {
    this.message = message
  }

  fail(): never {
    throw new JinjaError(this.message)
  }
}

/** The only thing a template can assign to across scopes. */
export class Namespace {
  readonly attributes: Map<string, Value>

  constructor(attributes: Iterable<readonly [string, Value]>) {
    this.attributes = new Map(attributes)
  }
}

/** What `map`, `select` and their kin return: always true, without a length, made when iterated, and empty after that. */
export class Generator {
  #make: () => readonly Value[]

  constructor(make: () => readonly Value[]) {
    this.#make = make
  }

  take(): readonly Value[] {
    const make = this.#make
    this.#make = () => []
    return make()
  }
}

/** An object of the template language itself (`loop`): attributes, and perhaps a call. */
export abstract class Native {
  abstract attribute(name: string): Value | undefined

  call(_args: readonly Value[]): Value {
    throw new JinjaError('this object is not callable')
  }
}

/** Most UTF-16 units of any text, and most items of any list, that a template may make. */
export const MAX_TEXT: number = 1 << 24
export const MAX_ITEMS: number = 1 << 20

/** `text` n times; nothing for n below 1, an error beyond MAX_TEXT. */
export function repeat(text: string, n: number): string {
  if (text.length * n > MAX_TEXT) throw new JinjaError(`a text of ${text.length * n} characters is too long`)
  return text.repeat(Math.max(0, Math.trunc(n)))
}

/** Python's whitespace (str.isspace), as the inside of a character class: not JavaScript's \s, which has U+FEFF. */
export const SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value)
}

export function isDict(value: Value): value is ReadonlyMap<Key, Value> {
  return value instanceof Map
}

/** A tuple of these items; `new Tuple(3)` would make three holes. */
export function tuple(...items: readonly Value[]): Tuple {
  const made = new Tuple()
  for (const item of items) made.push(item)
  return made
}

/** JSON-like JavaScript data to template values. Functions, symbols and cycles do not come from JSON and fail. */
export function fromJs(value: unknown): Value {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return Number.isInteger(value) ? value : new Float(value)
    case 'undefined':
      return new Undefined('the variable is undefined')
    case 'object': {
      if (value === null) return null
      if (Array.isArray(value)) return value.map(fromJs)
      // A key that is there without a value is not there.
      const entries = Object.entries(value).filter(([, item]) => item !== undefined)
      return new Map(entries.map(([key, item]) => [key, fromJs(item)]))
    }
    default:
      throw new JinjaError(`a ${typeof value} cannot be given to a template`)
  }
}

/** Python's name of a value's type, for messages. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'number') return 'int'
  if (typeof value === 'string') return 'str'
  if (typeof value === 'function') return 'function'
  if (value instanceof Float) return 'float'
  if (value instanceof Tuple) return 'tuple'
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Namespace) return 'Namespace'
  if (value instanceof Generator) return 'generator'
  if (value instanceof Native) return 'object'
  return isList(value) ? 'list' : 'dict'
}

export function truthy(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false
  if (value instanceof Float) return value.value !== 0
  if (isList(value)) return value.length > 0
  if (isDict(value)) return value.size > 0
  return typeof value === 'object' || Boolean(value)
}

/** The number a value counts as in arithmetic (bools are ints); null if it is not one. */
export function numeric(value: Value): number | null {
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return value ? 1 : 0
  return value instanceof Float ? value.value : null
}

export function equals(a: Value, b: Value): boolean {
  const left = numeric(a)
  const right = numeric(b)
  if (left !== null && right !== null) return left === right
  if (isList(a) && isList(b)) {
    if (a instanceof Tuple !== b instanceof Tuple || a.length !== b.length) return false
    return a.every((item, i) => equals(item, b[i]!))
  }
  if (isDict(a) && isDict(b)) {
    if (a.size !== b.size) return false
    return [...a].every(([key, item]) => b.has(key) && equals(item, b.get(key)!))
  }
  if (a instanceof Undefined) return b instanceof Undefined
  return a === b
}

/** Items of a value, as `for` sees them. */
export function iterate(value: Value): readonly Value[] {
  if (isList(value)) return value
  if (isDict(value)) return [...value.keys()]
  if (typeof value === 'string') return [...value]
  if (value instanceof Generator) return value.take()
  if (value instanceof Undefined) return []
  throw new JinjaError(`'${typeName(value)}' object is not iterable`)
}

export function length(value: Value): number {
  if (isList(value)) return value.length
  if (isDict(value)) return value.size
  if (typeof value === 'string') return codePoints(value)
  if (value instanceof Undefined) return 0
  throw new JinjaError(`object of type '${typeName(value)}' has no len()`)
}

/** Python counts characters, JavaScript UTF-16 units. */
function codePoints(text: string): number {
  let count = text.length
  for (let i = 0; i < text.length - 1; i++) {
    if ((text.charCodeAt(i) & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) count--
  }
  return count
}

/** Python's str(): what `{{ value }}` prints. */
export function str(value: Value): string {
  if (typeof value === 'string') return value
  return value instanceof Undefined ? '' : repr(value)
}

/** Python's repr(). */
export function repr(value: Value): string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'number') return intText(value)
  if (typeof value === 'string') return quoted(value)
  if (typeof value === 'function') return '<function>'
  if (value instanceof Float) return floatText(value.value)
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Generator) return '<generator>'
  if (value instanceof Namespace) return `<Namespace ${repr(value.attributes)}>`
  if (value instanceof Native) return '<object>'
  if (value instanceof Tuple) return `(${value.map(repr).join(', ')}${value.length === 1 ? ',' : ''})`
  if (isList(value)) return `[${value.map(repr).join(', ')}]`
  return `{${[...value].map(([key, item]) => `${repr(key)}: ${repr(item)}`).join(', ')}}`
}

function intText(value: number): string {
  return Math.abs(value) < 1e21 ? String(value) : BigInt(value).toString()
}

/** The shortest text that reads back the same, with Python's choice of exponents. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const magnitude = Math.abs(value)
  if (magnitude >= 1e16 || magnitude < 1e-4) {
    const [digits, exponent] = value.toExponential().split('e') as [string, string]
    return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`
  }
  return Number.isInteger(value) ? `${value}.0` : String(value)
}

/** Single quotes unless only the text has those. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  let out = quote
  for (const character of text) out += escaped(character, quote)
  return out + quote
}

function escaped(character: string, quote: string): string {
  if (character === quote || character === '\\') return `\\${character}`
  if (character === '\n') return '\\n'
  if (character === '\r') return '\\r'
  if (character === '\t') return '\\t'
  if (!/[\p{C}\p{Z}]/u.test(character) || character === ' ') return character
  const code = character.codePointAt(0)!.toString(16)
  if (code.length <= 2) return `\\x${code.padStart(2, '0')}`
  return code.length <= 4 ? `\\u${code.padStart(4, '0')}` : `\\U${code.padStart(8, '0')}`
}
