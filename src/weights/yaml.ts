/**
 * The part of YAML that configuration dumps use (PyYAML, OmegaConf): block mappings and lists, one-line flow lists and
 * mappings, plain, quoted and block scalars, comments. Anchors, tags, merges and complex keys are refused by name: a
 * dump has none, and an alias can make a page of text a gigabyte. Objects have no prototype, double keys are refused.
 */
import type { JsonObject, JsonValue } from './json.ts'
import { fold, plainScalar, QUOTED, quotedText, withoutComment, YamlSyntaxError } from './yamlScalars.ts'

export { YamlSyntaxError } from './yamlScalars.ts'

const MAX_DEPTH = 64

/** Parses `text` as one YAML document. Throws YamlSyntaxError. */
export function parseYaml(text: string): JsonValue {
  return new Parser(text).document()
}

interface Line {
  /** Counted from 1. */
  readonly number: number
  readonly indent: number
  /** Without the indent; comments are still there. */
  readonly text: string
}

const UNSUPPORTED = /^[&*!]|^[?]\s|^<<\s*:/
const BLOCK_SCALAR = /^([|>])([+-]?)\s*(?:#.*)?$/

class Parser {
  readonly #lines: Line[]
  readonly #raw: readonly string[]
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#raw = text.split(/\r?\n/)
    this.#lines = this.#raw.flatMap((raw, i) => {
      const content = raw.trimStart()
      if (content === '' || content.startsWith('#')) return []
      const indent = raw.length - content.length
      if (raw.slice(0, indent).includes('\t')) throw new YamlSyntaxError('A tab in the indentation', i + 1)
      return [{ number: i + 1, indent, text: content.trimEnd() }]
    })
  }

  document(): JsonValue {
    if (this.#line?.text === '---') this.#at++
    if (this.#lines.at(-1)?.text === '...') this.#lines.pop()
    const value = this.#line ? this.#block(this.#line.indent) : null
    if (this.#line) throw this.#error('Unexpected text')
    return value
  }

  get #line(): Line | undefined {
    return this.#lines[this.#at]
  }

  /** The value whose lines begin at exactly `indent`. */
  #block(indent: number): JsonValue {
    if (++this.#depth > MAX_DEPTH) throw this.#error(`Nested deeper than ${MAX_DEPTH} levels`)
    const { text } = this.#line!
    const value = isItem(text) ? this.#list(indent) : splitEntry(text) ? this.#mapping(indent) : this.#scalar(indent)
    this.#depth--
    return value
  }

  #list(indent: number): JsonValue[] {
    const items: JsonValue[] = []
    while (this.#line?.indent === indent && isItem(this.#line.text)) items.push(this.#item(this.#line))
    return items
  }

  #item(line: Line): JsonValue {
    const rest = line.text.slice(1).trimStart()
    if (rest === '' || rest.startsWith('#')) {
      this.#at++
      return this.#nested(line.indent + 1)
    }
    if (isItem(rest) || splitEntry(rest)) {
      // What stands behind the dash is the first line of a block of its own, as deep as its first character.
      const inner = line.indent + line.text.length - rest.length
      this.#lines[this.#at] = { number: line.number, indent: inner, text: rest }
      return this.#block(inner)
    }
    this.#at++
    return this.#value(rest, line, line.indent)
  }

  #mapping(indent: number): JsonObject {
    const object: Record<string, JsonValue> = Object.create(null)
    while (this.#line?.indent === indent && !isItem(this.#line.text)) {
      const line = this.#line
      if (UNSUPPORTED.test(line.text)) throw this.#error('Anchors, tags and merges are not supported')
      const entry = splitEntry(line.text)
      if (!entry) throw this.#error('Expected a key')
      const key = /^["']/.test(entry.key) ? quotedText(entry.key, line.number) : entry.key
      if (key in object) throw this.#error(`Duplicate key ${JSON.stringify(key)}`)
      this.#at++
      // A list may stand as deep as the key that it belongs to.
      const list = this.#line !== undefined && this.#line.indent === indent && isItem(this.#line.text)
      const empty = entry.rest === '' || entry.rest.startsWith('#')
      object[key] = empty ? this.#nested(list ? indent : indent + 1) : this.#value(entry.rest, line, indent)
    }
    if (this.#line && this.#line.indent > indent) throw this.#error('Unexpected indentation')
    return object
  }

  /** The block below, if its lines are at least as deep as `indent`; else nothing was said. */
  #nested(indent: number): JsonValue {
    return this.#line && this.#line.indent >= indent ? this.#block(this.#line.indent) : null
  }

  /** A value that begins behind its key or dash; further lines of it are deeper than `indent`. */
  #value(text: string, line: Line, indent: number): JsonValue {
    if (UNSUPPORTED.test(text)) throw new YamlSyntaxError('Anchors and tags are not supported', line.number)
    const block = BLOCK_SCALAR.exec(text)
    if (block) return this.#blockScalar(block[1]!, block[2]!, line.number, indent)
    const lines = this.#valueLines(text, line.number, indent)
    if (/^["']/.test(text)) return quotedText(lines.join('\n'), line.number)
    if (/^[[{]/.test(text)) return new FlowParser(lines.join('\n'), line.number).whole()
    return plainScalar(fold(lines.map(withoutComment)), line.number)
  }

  /** `text` and the lines after it that belong to the same value, without their indent; empty ones stay where they count. */
  #valueLines(text: string, number: number, indent: number): string[] {
    const ending = new Ending(text)
    const lines = [text]
    let row = number
    let end = row
    for (; row < this.#raw.length && !ending.reached; row++) {
      const content = this.#raw[row]!.trim()
      const deep = this.#raw[row]!.length - this.#raw[row]!.trimStart().length
      if (content !== '' && deep <= indent) break
      if (ending.isPlain && (content.startsWith('#') || splitEntry(content))) {
        if (content.startsWith('#')) break
        throw new YamlSyntaxError('Unexpected indentation', row + 1)
      }
      ending.read(content)
      lines.push(content)
      if (content !== '') end = row + 1
    }
    while (this.#line && this.#line.number <= end) this.#at++
    return lines.slice(0, 1 + end - number)
  }

  /** A whole document (or item) that is one scalar or flow value. */
  #scalar(indent: number): JsonValue {
    const line = this.#line!
    this.#at++
    return this.#value(line.text, line, indent - 1)
  }

  #blockScalar(style: string, chomp: string, number: number, indent: number): string {
    const body: string[] = []
    let depth: number | null = null
    let row = number
    for (; row < this.#raw.length; row++) {
      const raw = this.#raw[row]!
      const content = raw.trimStart()
      const deep = raw.length - content.length
      if (content !== '') {
        if (deep <= indent) break
        depth ??= deep
        if (deep < depth)
          throw new YamlSyntaxError('A block scalar whose lines begin less deep than its first', row + 1)
      }
      body.push(depth === null ? '' : raw.slice(depth))
    }
    while (this.#line && this.#line.number <= row) this.#at++
    const trailing = body.length - body.findLastIndex((text) => text !== '') - 1
    const text = body.slice(0, body.length - trailing)
    const joined = style === '|' ? text.join('\n') : fold(text)
    return joined + (chomp === '-' || text.length === 0 ? '' : chomp === '+' ? '\n'.repeat(trailing + 1) : '\n')
  }

  #error(problem: string): YamlSyntaxError {
    return new YamlSyntaxError(problem, this.#line?.number ?? this.#raw.length)
  }
}

/** A colon belongs to plain text where neither a space nor a bracket follows it. */
const FLOW_PLAIN = /[^\s,[\]{}:"'&*!#|>@`%](?:[^,[\]{}:#]|:(?=[^\s,[\]{}])|(?<=\S)#)*/y

/** `[a, {b: c}]`: plain and quoted scalars, nested. */
class FlowParser {
  readonly #text: string
  readonly #line: number
  #at = 0
  #depth = 0

  constructor(text: string, line: number) {
    this.#text = text
    this.#line = line
  }

  whole(): JsonValue {
    const value = this.#value()
    if (withoutComment(` ${this.#text.slice(this.#at)}`).trim() !== '') throw this.#error('Unexpected text')
    return value
  }

  #value(): JsonValue {
    if (++this.#depth > MAX_DEPTH) throw this.#error(`Nested deeper than ${MAX_DEPTH} levels`)
    const value = this.#take('[') ? this.#list() : this.#take('{') ? this.#mapping() : this.#scalar()
    this.#depth--
    return value
  }

  #list(): JsonValue[] {
    const items: JsonValue[] = []
    while (!this.#take(']')) {
      items.push(this.#value())
      if (!this.#take(',') && this.#peek() !== ']') throw this.#error("Expected ',' or ']'")
    }
    return items
  }

  #mapping(): JsonObject {
    const object: Record<string, JsonValue> = Object.create(null)
    while (!this.#take('}')) {
      const key = this.#scalar()
      if (key === null || typeof key === 'object') throw this.#error('Expected a key')
      if (!this.#take(':')) throw this.#error("Expected ':'")
      if (String(key) in object) throw this.#error(`Duplicate key ${JSON.stringify(key)}`)
      object[String(key)] = this.#value()
      if (!this.#take(',') && this.#peek() !== '}') throw this.#error("Expected ',' or '}'")
    }
    return object
  }

  #scalar(): JsonValue {
    this.#peek()
    const quoted = this.#match(QUOTED)
    if (quoted) return quotedText(quoted, this.#line)
    const plain = this.#match(FLOW_PLAIN)
    if (!plain) throw this.#error('Expected a value')
    return plainScalar(fold(plain.trimEnd().split('\n')), this.#line)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    this.#at += found?.length ?? 0
    return found
  }

  #peek(): string | undefined {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++
    return this.#text[this.#at]
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false
    this.#at++
    return true
  }

  #error(problem: string): YamlSyntaxError {
    return new YamlSyntaxError(problem, this.#line)
  }
}

function isItem(text: string): boolean {
  return text === '-' || text.startsWith('- ')
}

/** `key: rest` or `key:`, the key plain or still in its quotes. */
function splitEntry(text: string): { readonly key: string; readonly rest: string } | null {
  let from = 0
  if (/^["']/.test(text)) {
    QUOTED.lastIndex = 0
    from = QUOTED.exec(text)?.[0].length ?? text.length
  } else if (/^[#&*!|>@`%[\]{},]/.test(text)) {
    return null
  }
  for (let colon = text.indexOf(':', from); colon >= 0; colon = text.indexOf(':', colon + 1)) {
    const key = text.slice(0, colon).trimEnd()
    if (from > 0 && key.length !== from) return null
    if (colon + 1 < text.length && !/\s/.test(text[colon + 1]!)) continue
    return key === '' || key.includes(' #') ? null : { key, rest: text.slice(colon + 1).trimStart() }
  }
  return null
}

/** Finds where a value over several lines ends: at its last quote or bracket. Plain text goes on as long as it may. */
class Ending {
  reached = false
  /** What the value begins with: a quote, a bracket, or anything else. */
  readonly #opening: string
  #brackets = 0
  #quote: string | null = null

  constructor(text: string) {
    this.#opening = text[0]!
    this.read(text)
  }

  get isPlain(): boolean {
    return !/["'[{]/.test(this.#opening)
  }

  /** Reads the next line of the value. */
  read(text: string): void {
    if (this.isPlain) return
    for (let i = 0; i < text.length && !this.reached; i++) {
      const char = text[i]!
      if (this.#quote !== null) {
        if (char === '\\' && this.#quote === '"') i++
        else if (char === "'" && this.#quote === "'" && text[i + 1] === "'") i++
        else if (char === this.#quote) this.#quote = null
      } else if (char === '"' || char === "'") {
        this.#quote = char
      } else if (char === '[' || char === '{') {
        this.#brackets++
      } else if (char === ']' || char === '}') {
        this.#brackets--
      }
      this.reached = this.#quote === null && this.#brackets <= 0
    }
  }
}
