/** Statements of the template language: tokens to a tree. Throws JinjaSyntaxError with the line. */
import { ExpressionParser, type KnownNames } from './expressions.ts'
import { tokenize } from './lexer.ts'
import type { Block, Branch, Expression, FilterCall, MacroBody, Statement, Target } from './nodes.ts'
import { Tokens } from './tokens.ts'

const SPECIALS: readonly string[] = ['caller', 'varargs', 'kwargs']

/** Parses a whole template. */
export function parse(source: string, known: KnownNames): Block {
  return new Parser(source, known).template()
}

class Parser {
  readonly #tokens: Tokens
  readonly #expressions: ExpressionParser

  constructor(source: string, known: KnownNames) {
    this.#tokens = new Tokens(tokenize(source))
    this.#expressions = new ExpressionParser(this.#tokens, known)
  }

  template(): Block {
    const body = this.#body([])
    if (!this.#tokens.is('eof')) this.#tokens.fail(`unexpected ${this.#tokens.describe()}`)
    return body
  }

  /** Statements up to a tag named in `ends`, whose name is then the current token. */
  #body(ends: readonly string[]): Block {
    const tokens = this.#tokens
    const body: Statement[] = []
    for (;;) {
      if (tokens.is('eof')) {
        if (ends.length > 0) tokens.fail(`unexpected end of template; looking for '${ends.join("' or '")}'`)
        return body
      }
      const { type, value, line } = tokens.next()
      if (type === 'data') body.push({ type: 'text', text: value })
      else if (type === 'print') {
        body.push({ type: 'print', value: this.#expressions.tuple(), line })
        tokens.expect('end')
      } else {
        if (tokens.is('name') && ends.includes(tokens.current.value)) return body
        body.push(this.#statement(line))
        tokens.expect('end')
      }
    }
  }

  /** A body that starts after this tag and runs to `{% end... %}`, up to but not including the tag's end. */
  #blockUntil(end: string): Block {
    this.#tokens.expect('end')
    const body = this.#body([end])
    this.#tokens.next()
    return body
  }

  #statement(line: number): Statement {
    const name = this.#tokens.expect('name').value
    switch (name) {
      case 'if':
        return this.#if(line)
      case 'for':
        return this.#for(line)
      case 'set':
        return this.#set(line)
      case 'macro':
        return { type: 'macro', name: this.#tokens.expect('name').value, ...this.#macro(), line }
      case 'call':
        return this.#call(line)
      case 'filter':
        return { type: 'filter', filters: this.#expressions.filters(true), body: this.#blockUntil('endfilter'), line }
      case 'with':
        return this.#with(line)
      case 'generation':
        return { type: 'plain', body: this.#blockUntil('endgeneration'), line }
      case 'print':
        return { type: 'print', value: this.#expressions.tuple(), line }
      case 'break':
      case 'continue':
        return { type: name, line }
      default:
        return this.#tokens.fail(`encountered unknown tag '${name}'`)
    }
  }

  #if(line: number): Statement {
    const branches: Branch[] = []
    for (;;) {
      const test = this.#expressions.tuple({ conditional: false })
      this.#tokens.expect('end')
      branches.push({ test, body: this.#body(['elif', 'else', 'endif']) })
      const { value } = this.#tokens.next()
      if (value === 'endif') return { type: 'if', branches, otherwise: [], line }
      if (value === 'else') return { type: 'if', branches, otherwise: this.#blockUntil('endif'), line }
    }
  }

  #for(line: number): Statement {
    const target = this.#target(false)
    this.#tokens.expect('name', 'in')
    const iterable = this.#expressions.tuple({ conditional: false })
    const test = this.#tokens.skip('name', 'if') ? this.#expressions.expression() : null
    const recursive = this.#tokens.skip('name', 'recursive')
    this.#tokens.expect('end')
    const body = this.#body(['else', 'endfor'])
    const otherwise = this.#tokens.next().value === 'else' ? this.#blockUntil('endfor') : []
    return { type: 'for', target, iterable, test, recursive, body, otherwise, line }
  }

  #set(line: number): Statement {
    const target = this.#target(true)
    if (this.#tokens.skip('op', '=')) return { type: 'set', target, value: this.#expressions.tuple(), line }
    const filters: FilterCall[] = this.#expressions.filters(false)
    return { type: 'setBlock', target, filters, body: this.#blockUntil('endset'), line }
  }

  #call(line: number): Statement {
    const parameters = this.#tokens.is('op', '(') ? this.#parameters() : []
    const call = this.#expressions.expression()
    if (call.type !== 'call') this.#tokens.fail('expected a call')
    const body = this.#blockUntil('endcall')
    return { type: 'call', call, parameters, body, specials: specials(body), line }
  }

  #with(line: number): Statement {
    const assignments: { target: Target; value: Expression }[] = []
    while (!this.#tokens.is('end')) {
      if (assignments.length > 0) this.#tokens.expect('op', ',')
      const target = this.#target(false, false)
      this.#tokens.expect('op', '=')
      assignments.push({ target, value: this.#expressions.expression() })
    }
    return { type: 'with', assignments, body: this.#blockUntil('endwith'), line }
  }

  #macro(): MacroBody {
    const parameters = this.#parameters()
    const body = this.#blockUntil('endmacro')
    return { parameters, body, specials: specials(body) }
  }

  #parameters(): MacroBody['parameters'] {
    const parameters: { name: string; fallback: Expression | null }[] = []
    this.#tokens.expect('op', '(')
    while (!this.#tokens.skip('op', ')')) {
      if (parameters.length > 0) this.#tokens.expect('op', ',')
      const name = this.#tokens.expect('name').value
      const fallback = this.#tokens.skip('op', '=') ? this.#expressions.expression() : null
      if (fallback === null && parameters.at(-1)?.fallback) {
        this.#tokens.fail('non-default argument follows default argument')
      }
      parameters.push({ name, fallback })
    }
    return parameters
  }

  /** A name, a tuple of them, or (for set) an attribute of a namespace. */
  #target(attributes: boolean, several = true): Target {
    const items: Target[] = []
    let comma = false
    do {
      if (items.length > 0 && (this.#tokens.is('name', 'in') || this.#tokens.is('op', '=') || this.#tokens.is('end')))
        break
      items.push(this.#oneTarget(attributes))
      comma = several && this.#tokens.skip('op', ',')
    } while (comma)
    return items.length === 1 && !comma ? items[0]! : { type: 'tuple', items }
  }

  #oneTarget(attributes: boolean): Target {
    if (this.#tokens.skip('op', '(')) {
      const inner = this.#target(attributes)
      this.#tokens.expect('op', ')')
      return inner
    }
    const name = this.#tokens.expect('name').value
    if (['true', 'false', 'none', 'True', 'False', 'None'].includes(name))
      this.#tokens.fail(`can't assign to '${name}'`)
    if (!attributes || !this.#tokens.skip('op', '.')) return { type: 'name', name }
    return { type: 'attribute', namespace: name, name: this.#tokens.expect('name').value }
  }
}

/** Which of the names that a macro is given only if it asks for them occur anywhere in its body. */
function specials(body: unknown): ReadonlySet<string> {
  const found = new Set<string>()
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { type, name } = node as { type?: unknown; name?: unknown }
    if (type === 'name' && typeof name === 'string' && SPECIALS.includes(name)) found.add(name)
    for (const child of Object.values(node)) visit(child)
  }
  visit(body)
  return found
}
