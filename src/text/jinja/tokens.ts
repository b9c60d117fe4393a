/** A cursor over tokens, shared by the two halves of the parser. */
import { JinjaSyntaxError } from './error.ts'
import type { Token } from './lexer.ts'

export class Tokens {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get current(): Token {
    return this.#tokens[this.#at]!
  }

  get line(): number {
    return this.current.line
  }

  next(): Token {
    const token = this.current
    if (token.type !== 'eof') this.#at++
    return token
  }

  is(type: Token['type'], value?: string): boolean {
    const { current } = this
    return current.type === type && (value === undefined || current.value === value)
  }

  /** Whether the token after the current one is this. */
  follows(type: Token['type'], value: string): boolean {
    const after = this.#tokens[this.#at + 1]
    return after !== undefined && after.type === type && after.value === value
  }

  skip(type: Token['type'], value: string): boolean {
    const found = this.is(type, value)
    if (found) this.next()
    return found
  }

  expect(type: Token['type'], value?: string): Token {
    if (!this.is(type, value)) this.fail(`expected '${value ?? type}', got ${this.describe()}`)
    return this.next()
  }

  describe(): string {
    const { type, value } = this.current
    if (type === 'eof') return 'the end of the template'
    return type === 'end' ? 'the end of the tag' : `'${value.length > 40 ? `${value.slice(0, 37)}...` : value}'`
  }

  fail(message: string): never {
    throw new JinjaSyntaxError(message, this.line)
  }
}
