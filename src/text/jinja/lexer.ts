/**
 * Template text to tokens, with the whitespace rules transformers sets: trim_blocks (the newline after a tag goes),
 * lstrip_blocks (the indentation before one goes), `-` and `+` override, one newline at the very end goes.
 */
import { JinjaSyntaxError } from './error.ts'
import { strip } from './text.ts'
import { SPACE } from './values.ts'

/** `op` covers operators and punctuation; `print`/`block` open a tag, `end` closes it. */
export interface Token {
  readonly type: 'data' | 'print' | 'block' | 'end' | 'name' | 'string' | 'int' | 'float' | 'op' | 'eof'
  readonly value: string
  readonly line: number
}

const TAG_OPEN = /\{[%{#]/g
const RAW_OPEN = new RegExp(`\\{%[-+]?[${SPACE}]*raw[${SPACE}]*(?:-%\\}[${SPACE}]*|%\\})`, 'y')
const RAW_CLOSE = new RegExp(`\\{%([-+]?)[${SPACE}]*endraw[${SPACE}]*(?:\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?)`, 'g')
const COMMENT_CLOSE = new RegExp(`\\+#\\}|-#\\}[${SPACE}]*|#\\}\\n?`, 'g')
const BLOCK_CLOSE = new RegExp(`\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?`, 'y')
const PRINT_CLOSE = new RegExp(`-\\}\\}[${SPACE}]*|\\}\\}`, 'y')
const BLANK = new RegExp(`[${SPACE}]+`, 'y')
const FLOAT = /\d+(?:_\d+)*(?:(?:\.\d+(?:_\d+)*)?e[+-]?\d+(?:_\d+)*|\.\d+(?:_\d+)*)/iy
const INT = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*/uy
const STRING = /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y
const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,]/y
const CLOSER: ReadonlyMap<string, string> = new Map([
  ['(', ')'],
  ['[', ']'],
  ['{', '}'],
])

/** Throws JinjaSyntaxError. */
export function tokenize(template: string): Token[] {
  return new Lexer(template).run()
}

class Lexer {
  readonly #source: string
  readonly #tokens: Token[] = []
  #position = 0
  #line = 1
  /** Whether what was consumed last ended with a newline, so that this is the start of a line. */
  #lineStart = true

  constructor(template: string) {
    this.#source = template.replace(/\r\n?/g, '\n').replace(/\n$/, '')
  }

  run(): Token[] {
    while (this.#position < this.#source.length) {
      TAG_OPEN.lastIndex = this.#position
      const found = TAG_OPEN.exec(this.#source)
      if (found === null) this.#data(this.#source.length, '', true)
      else this.#tag(found.index, found[0])
    }
    this.#push('eof', '')
    return this.#tokens
  }

  #tag(at: number, open: string): void {
    RAW_OPEN.lastIndex = at
    const raw = RAW_OPEN.exec(this.#source)
    const mark = this.#source[at + 2]
    const sign = mark === '-' || mark === '+' ? mark : ''
    this.#data(at, sign, open === '{{')
    if (raw !== null) {
      this.#raw(raw[0])
      return
    }
    this.#consume(open + sign)
    if (open === '{#') this.#comment()
    else {
      this.#push(open === '{{' ? 'print' : 'block', open)
      this.#inside(open === '{{' ? PRINT_CLOSE : BLOCK_CLOSE)
    }
  }

  /** Text up to `end`, where a tag with this sign begins. `keepIndent`: the tag prints, so its indentation stays. */
  #data(end: number, sign: string, keepIndent: boolean): void {
    const text = this.#source.slice(this.#position, end)
    let kept = text
    if (sign === '-') kept = strip(text, 'right')
    else if (sign !== '+' && !keepIndent) {
      const from = text.lastIndexOf('\n') + 1
      if ((from > 0 || this.#lineStart) && strip(text.slice(from), 'right') === '') kept = text.slice(0, from)
    }
    if (kept !== '') this.#push('data', kept)
    if (text !== '') this.#consume(text)
  }

  #comment(): void {
    COMMENT_CLOSE.lastIndex = this.#position
    const close = COMMENT_CLOSE.exec(this.#source)
    if (close === null) throw this.#error('Missing end of comment tag')
    this.#consume(this.#source.slice(this.#position, close.index + close[0].length))
  }

  #raw(open: string): void {
    this.#consume(open)
    RAW_CLOSE.lastIndex = this.#position
    const close = RAW_CLOSE.exec(this.#source)
    if (close === null) throw this.#error('Missing end of raw directive')
    this.#data(close.index, close[1]!, false)
    this.#consume(close[0])
  }

  #inside(close: RegExp): void {
    const open: string[] = []
    for (;;) {
      const end = open.length === 0 ? this.#match(close) : null
      if (end !== null) {
        this.#push('end', end)
        this.#consume(end)
        return
      }
      const blank = this.#match(BLANK)
      if (blank !== null) {
        this.#consume(blank)
        continue
      }
      if (this.#position >= this.#source.length) throw this.#error('unexpected end of template')
      this.#token(open)
    }
  }

  #token(open: string[]): void {
    const { type, text, value } = this.#scan()
    const closer = type === 'op' ? CLOSER.get(text) : undefined
    if (closer !== undefined) open.push(closer)
    else if (type === 'op' && [')', ']', '}'].includes(text)) {
      const expected = open.pop()
      if (expected !== text) throw this.#error(`unexpected '${text}'${expected ? `, expected '${expected}'` : ''}`)
    }
    this.#push(type, value)
    this.#consume(text)
  }

  /** The token here, as written and as meant. */
  #scan(): { readonly type: Token['type']; readonly text: string; readonly value: string } {
    const float = this.#source[this.#position - 1] === '.' ? null : this.#match(FLOAT)
    if (float !== null) return { type: 'float', text: float, value: float.replaceAll('_', '') }
    const int = this.#match(INT)
    if (int !== null) return { type: 'int', text: int, value: int.replaceAll('_', '') }
    const name = this.#match(NAME)
    if (name !== null) return { type: 'name', text: name, value: name }
    const string = this.#match(STRING)
    if (string !== null) return { type: 'string', text: string, value: unescaped(string.slice(1, -1)) }
    const operator = this.#match(OPERATOR)
    if (operator !== null) return { type: 'op', text: operator, value: operator }
    throw this.#error(`unexpected char '${String.fromCodePoint(this.#source.codePointAt(this.#position)!)}'`)
  }

  #match(regex: RegExp): string | null {
    regex.lastIndex = this.#position
    return regex.exec(this.#source)?.[0] ?? null
  }

  #push(type: Token['type'], value: string): void {
    this.#tokens.push({ type, value, line: this.#line })
  }

  #consume(text: string): void {
    this.#position += text.length
    this.#lineStart = text.endsWith('\n')
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) this.#line++
  }

  #error(message: string): JinjaSyntaxError {
    return new JinjaSyntaxError(message, this.#line)
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  a: '\x07',
  b: '\b',
  f: '\f',
  v: '\v',
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
}

/** Python's string escapes; an unknown one keeps its backslash. */
function unescaped(text: string): string {
  return text.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g,
    (whole: string, x?: string, u?: string, long?: string, octal?: string, other?: string) => {
      const hex = x ?? u ?? long
      if (hex !== undefined) {
        const code = Number.parseInt(hex, 16)
        return code <= 0x10ffff ? String.fromCodePoint(code) : whole
      }
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8))
      return ESCAPES[other!] ?? whole
    },
  )
}
