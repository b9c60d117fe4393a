/**
 * Says where a text stops being JSON. `JSON.parse` knows, but every JavaScript engine words it differently and some
 * leave the position out, so a text that it refused is walked once more here. Iterative: nesting costs no stack.
 */
export interface JsonFault {
  /** UTF-16 code units from the start. */
  readonly offset: number
  /** Counted from 1. */
  readonly line: number
  readonly column: number
  readonly reason: string
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const SPACE = /[ \t\n\r]*/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids exactly these inside strings.
const STRING_RUN = /[^"\\\u0000-\u001f]*/y
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
const WORDS = ['true', 'false', 'null'] as const

/** The first fault of `text`, or null if it is JSON. */
export function findJsonFault(text: string): JsonFault | null {
  const scan = new Scan(text)
  const reason = scan.document()
  if (reason === null) return null
  const before = text.slice(0, scan.offset)
  const line = before.split('\n').length
  return { offset: scan.offset, line, column: scan.offset - before.lastIndexOf('\n'), reason }
}

/** Each method returns the reason for the fault at `offset`, or null after moving past what it names. */
class Scan {
  readonly #text: string
  offset = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): string | null {
    const open: ('{' | '[')[] = []
    let fault = this.#value(open)
    while (fault === null && open.length > 0) fault = this.#afterValue(open)
    if (fault !== null) return fault
    this.#skip(SPACE)
    return this.offset === this.#text.length ? null : `unexpected ${this.#here()} after the end of the value`
  }

  /** A scalar, an empty container, or a container's opening up to its first scalar. */
  #value(open: ('{' | '[')[]): string | null {
    for (;;) {
      this.#skip(SPACE)
      const char = this.#text[this.offset]
      if (char === '"') return this.#string()
      if (char !== '{' && char !== '[') return this.#scalar()
      this.offset++
      this.#skip(SPACE)
      if (this.#text[this.offset] === (char === '{' ? '}' : ']')) {
        this.offset++
        return null
      }
      open.push(char)
      if (char === '{') {
        const fault = this.#key()
        if (fault !== null) return fault
      }
    }
  }

  /** Behind a member of the innermost container: its end, or a comma and the next member. */
  #afterValue(open: ('{' | '[')[]): string | null {
    const inner = open.at(-1)!
    const close = inner === '{' ? '}' : ']'
    this.#skip(SPACE)
    if (this.#text[this.offset] === close) {
      this.offset++
      open.pop()
      return null
    }
    if (this.#text[this.offset] !== ',') return `expected "," or "${close}", found ${this.#here()}`
    this.offset++
    return (inner === '{' ? this.#key() : null) ?? this.#value(open)
  }

  #key(): string | null {
    this.#skip(SPACE)
    if (this.#text[this.offset] !== '"') return `expected a name in double quotes, found ${this.#here()}`
    const fault = this.#string()
    if (fault !== null) return fault
    this.#skip(SPACE)
    if (this.#text[this.offset] !== ':') return `expected ":", found ${this.#here()}`
    this.offset++
    return null
  }

  #string(): string | null {
    this.offset++
    for (;;) {
      this.#skip(STRING_RUN)
      const char = this.#text[this.offset]
      if (char === '"') {
        this.offset++
        return null
      }
      if (char === undefined) return 'unexpected end of the text inside a string'
      if (char !== '\\') return `a string may not hold the control character ${this.#here()}`
      if (!this.#skip(ESCAPE)) return 'a bad escape inside a string'
    }
  }

  #scalar(): string | null {
    const word = WORDS.find((word) => this.#text.startsWith(word, this.offset))
    if (word !== undefined) {
      this.offset += word.length
      return null
    }
    return this.#skip(NUMBER) ? null : `expected a value, found ${this.#here()}`
  }

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.offset
    const match = pattern.exec(this.#text)
    if (match === null) return false
    this.offset += match[0].length
    return match[0].length > 0
  }

  #here(): string {
    const codePoint = this.#text.codePointAt(this.offset)
    return codePoint === undefined ? 'the end of the text' : JSON.stringify(String.fromCodePoint(codePoint))
  }
}
