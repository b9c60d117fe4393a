/**
 * Strict JSON for files that decide what is computed. JSON.parse keeps the last of two equal keys without a word and
 * reports positions differently in every engine; this parser refuses duplicates, bounds the depth, states line and
 * column, and makes objects without a prototype, so that `__proto__` is a key like any other.
 */
import { shown } from '../errors.ts'

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [key: string]: JsonValue
}

/** Where and why a text is not JSON. Callers that know the file wrap it in their own LorikeetError. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError'
  /** Offset into the text, in UTF-16 units. */
  readonly position: number

  constructor(problem: string, text: string, position: number) {
    let line = 1
    let lineStart = 0
    for (let end = text.indexOf('\n'); end >= 0 && end < position; end = text.indexOf('\n', lineStart)) {
      line++
      lineStart = end + 1
    }
    const column = position - lineStart + 1
    super(`${problem} at line ${line}, column ${column}`)
    this.position = position
  }
}

const MAX_DEPTH = 64
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const SPACE = /[ \t\n\r]*/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters must be escaped inside JSON strings.
const PLAIN = /[^"\\\u0000-\u001f]*/y
const LONE_SURROGATE = /\p{Surrogate}/u
const KEYWORDS: ReadonlyMap<string, boolean | null> = new Map([
  ['true', true],
  ['false', false],
  ['null', null],
])

/**
 * Parses `text` as one JSON value, of at most `maxValues` values within each other: three characters can stand for an
 * object that takes a hundred times as much. Throws JsonSyntaxError.
 */
export function parseJson(text: string, maxValues: number = Number.POSITIVE_INFINITY): JsonValue {
  const parser = new Parser(text, maxValues)
  return parser.document()
}

/** True for a JSON object: neither null nor a list. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

class Parser {
  readonly #text: string
  #at = 0
  #depth = 0
  #valuesLeft: number

  constructor(text: string, maxValues: number) {
    this.#text = text
    this.#valuesLeft = maxValues
  }

  document(): JsonValue {
    const value = this.#value()
    if (this.#peek() !== undefined) throw this.#error('Unexpected text after the end of the JSON value')
    return value
  }

  #value(): JsonValue {
    if (this.#valuesLeft-- <= 0) throw this.#error('More values than are read')
    switch (this.#peek()) {
      case '{':
        return this.#nested(() => this.#object())
      case '[':
        return this.#nested(() => this.#list())
      case '"':
        return this.#string()
      default:
        return this.#numberOrKeyword()
    }
  }

  #nested<T>(parse: () => T): T {
    if (++this.#depth > MAX_DEPTH) throw this.#error(`Nested deeper than ${MAX_DEPTH} levels`)
    this.#at++
    const value = parse()
    this.#depth--
    return value
  }

  #object(): JsonObject {
    const object: Record<string, JsonValue> = Object.create(null)
    if (this.#take('}')) return object
    do {
      if (this.#peek() !== '"') throw this.#error('Expected a key in double quotes')
      const start = this.#at
      const key = this.#string()
      if (key in object) throw new JsonSyntaxError(`Duplicate key ${shown(key)}`, this.#text, start)
      if (!this.#take(':')) throw this.#error("Expected ':'")
      object[key] = this.#value()
    } while (this.#take(','))
    if (!this.#take('}')) throw this.#error("Expected ',' or '}'")
    return object
  }

  #list(): JsonValue[] {
    const list: JsonValue[] = []
    if (this.#take(']')) return list
    do list.push(this.#value())
    while (this.#take(','))
    if (!this.#take(']')) throw this.#error("Expected ',' or ']'")
    return list
  }

  #string(): string {
    const start = this.#at++
    this.#match(PLAIN)
    const plainEnd = this.#at
    while (this.#text[this.#at] === '\\') {
      this.#at += 2
      this.#match(PLAIN)
    }
    if (this.#text[this.#at] !== '"') throw this.#error('Unterminated string or bare control character')
    this.#at++
    const value = plainEnd === this.#at - 1 ? this.#text.slice(start + 1, plainEnd) : this.#unescape(start)
    if (LONE_SURROGATE.test(value)) throw new JsonSyntaxError('Lone surrogate in a string', this.#text, start)
    return value
  }

  /** The escapes themselves are left to JSON.parse: every engine agrees on those. */
  #unescape(start: number): string {
    try {
      return JSON.parse(this.#text.slice(start, this.#at)) as string
    } catch {
      throw new JsonSyntaxError('Bad escape in a string', this.#text, start)
    }
  }

  #numberOrKeyword(): JsonValue {
    const start = this.#at
    const number = this.#match(NUMBER)
    if (number !== '') return Number(number)
    for (const [keyword, value] of KEYWORDS) {
      if (!this.#text.startsWith(keyword, start)) continue
      this.#at += keyword.length
      return value
    }
    throw this.#error(start < this.#text.length ? 'Unexpected character' : 'Unexpected end')
  }

  /** Consumes what the sticky `pattern` matches here: '' where it does not match. */
  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0] ?? ''
    this.#at += found.length
    return found
  }

  #peek(): string | undefined {
    this.#match(SPACE)
    return this.#text[this.#at]
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false
    this.#at++
    return true
  }

  #error(problem: string): JsonSyntaxError {
    return new JsonSyntaxError(problem, this.#text, Math.min(this.#at, this.#text.length))
  }
}
