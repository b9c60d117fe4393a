/**
 * Expressions of the template language, by recursive descent in Jinja's own order of precedence: conditional, or, and,
 * not, comparison, sum, concatenation (~), product, power, sign, then postfix (.x, [x], (x)), filters and tests.
 */
import type { Arithmetic, CallArguments, Comparison, Expression, FilterCall } from './nodes.ts'
import type { Tokens } from './tokens.ts'
import { Float } from './values.ts'

const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
])
const COMPARISONS: readonly string[] = ['==', '!=', '<', '<=', '>', '>=']
/** Words that end a test's argument: `x is string and y` tests nothing against `and`. */
const AFTER_TEST: readonly string[] = ['else', 'or', 'and']

/** The names a filter or test call may use; the parser refuses others, as Jinja does, before anything is rendered. */
export interface KnownNames {
  readonly filters: ReadonlySet<string>
  readonly tests: ReadonlySet<string>
}

export class ExpressionParser {
  readonly #tokens: Tokens
  readonly #known: KnownNames

  constructor(tokens: Tokens, known: KnownNames) {
    this.#tokens = tokens
    this.#known = known
  }

  /** One expression, or several between commas as a tuple. `conditional: false` leaves an `if` for the statement. */
  tuple(options: { readonly conditional?: boolean; readonly emptyAllowed?: boolean } = {}): Expression {
    const items: Expression[] = []
    let comma = false
    while (!this.#tupleEnds()) {
      items.push(this.expression(options.conditional ?? true))
      comma = this.#tokens.skip('op', ',')
      if (!comma) break
    }
    if (items.length === 1 && !comma) return items[0]!
    if (items.length === 0 && options.emptyAllowed !== true) {
      this.#tokens.fail(`expected an expression, got ${this.#tokens.describe()}`)
    }
    return { type: 'tuple', items }
  }

  expression(conditional = true): Expression {
    let value = this.#or()
    while (conditional && this.#tokens.skip('name', 'if')) {
      const test = this.#or()
      const otherwise = this.#tokens.skip('name', 'else') ? this.expression() : null
      value = { type: 'conditional', test, chosen: value, otherwise }
    }
    return value
  }

  /** `name(args) | name ...` after a pipe or a `filter` tag; `first`: no pipe before the first one. */
  filters(first: boolean): FilterCall[] {
    const calls: FilterCall[] = []
    while ((first && calls.length === 0) || this.#tokens.skip('op', '|')) calls.push(this.#filter())
    return calls
  }

  #tupleEnds(): boolean {
    return this.#tokens.is('end') || this.#tokens.is('op', ')') || this.#tokens.is('name', 'recursive')
  }

  #or(): Expression {
    let left = this.#and()
    while (this.#tokens.skip('name', 'or')) left = { type: 'or', left, right: this.#and() }
    return left
  }

  #and(): Expression {
    let left = this.#not()
    while (this.#tokens.skip('name', 'and')) left = { type: 'and', left, right: this.#not() }
    return left
  }

  #not(): Expression {
    return this.#tokens.skip('name', 'not') ? { type: 'not', value: this.#not() } : this.#comparison()
  }

  #comparison(): Expression {
    const first = this.#sum()
    const rest: { operator: Comparison; value: Expression }[] = []
    for (;;) {
      const operator = this.#comparisonOperator()
      if (operator === null) return rest.length === 0 ? first : { type: 'compare', first, rest }
      rest.push({ operator, value: this.#sum() })
    }
  }

  #comparisonOperator(): Comparison | null {
    const tokens = this.#tokens
    if (tokens.is('op') && COMPARISONS.includes(tokens.current.value)) return tokens.next().value as Comparison
    if (tokens.skip('name', 'in')) return 'in'
    if (tokens.is('name', 'not') && tokens.follows('name', 'in')) {
      tokens.next()
      tokens.next()
      return 'not in'
    }
    return null
  }

  #sum(): Expression {
    return this.#arithmetic(['+', '-'], () => this.#concatenation())
  }

  #concatenation(): Expression {
    const items = [this.#product()]
    while (this.#tokens.skip('op', '~')) items.push(this.#product())
    return items.length === 1 ? items[0]! : { type: 'concat', items }
  }

  #product(): Expression {
    return this.#arithmetic(['*', '/', '//', '%'], () => this.#arithmetic(['**'], () => this.#unary(true)))
  }

  #arithmetic(operators: readonly Arithmetic[], operand: () => Expression): Expression {
    let left = operand()
    for (;;) {
      const operator = operators.find((one) => this.#tokens.skip('op', one))
      if (operator === undefined) return left
      left = { type: 'arithmetic', operator, left, right: operand() }
    }
  }

  /** A sign takes no filter with it: -1 | abs is (-1) | abs. */
  #unary(withFilters: boolean): Expression {
    const sign = this.#tokens.skip('op', '-') ? 'negative' : this.#tokens.skip('op', '+') ? 'positive' : null
    const operand: Expression = sign === null ? this.#primary() : { type: sign, value: this.#unary(false) }
    const value = this.#postfix(operand)
    return withFilters ? this.#filtersAndTests(value) : value
  }

  #primary(): Expression {
    const tokens = this.#tokens
    const token = tokens.current
    switch (token.type) {
      case 'name': {
        tokens.next()
        const constant = CONSTANTS.get(token.value)
        return constant === undefined ? { type: 'name', name: token.value } : { type: 'constant', value: constant }
      }
      case 'string': {
        let text = ''
        while (tokens.is('string')) text += tokens.next().value
        return { type: 'constant', value: text }
      }
      case 'int':
        tokens.next()
        return { type: 'constant', value: Number(token.value) }
      case 'float':
        tokens.next()
        return { type: 'constant', value: new Float(Number(token.value)) }
      case 'op':
        if (tokens.skip('op', '(')) {
          const inner = this.tuple({ emptyAllowed: true })
          tokens.expect('op', ')')
          return inner
        }
        if (tokens.skip('op', '[')) return { type: 'list', items: this.#until(']', () => this.expression()) }
        if (tokens.skip('op', '{')) return { type: 'dict', entries: this.#until('}', () => this.#entry()) }
    }
    return tokens.fail(`unexpected ${tokens.describe()}`)
  }

  #entry(): { key: Expression; value: Expression } {
    const key = this.expression()
    this.#tokens.expect('op', ':')
    return { key, value: this.expression() }
  }

  /** Items between commas up to the closing bracket; a trailing comma is allowed. */
  #until<Item>(close: string, item: () => Item): Item[] {
    const items: Item[] = []
    while (!this.#tokens.skip('op', close)) {
      if (items.length > 0) this.#tokens.expect('op', ',')
      if (this.#tokens.skip('op', close)) break
      items.push(item())
    }
    return items
  }

  #postfix(operand: Expression): Expression {
    let value = operand
    for (;;) {
      if (this.#tokens.skip('op', '.')) value = this.#attribute(value)
      else if (this.#tokens.skip('op', '[')) value = this.#subscript(value)
      else if (this.#tokens.is('op', '(')) value = { type: 'call', callee: value, args: this.#arguments() }
      else return value
    }
  }

  #attribute(object: Expression): Expression {
    const token = this.#tokens.next()
    if (token.type === 'name') return { type: 'attribute', object, name: token.value }
    if (token.type === 'int') return { type: 'item', object, key: { type: 'constant', value: Number(token.value) } }
    return this.#tokens.fail('expected a name or a number after the dot')
  }

  #subscript(object: Expression): Expression {
    const part = (): Expression | null =>
      this.#tokens.is('op', ':') || this.#tokens.is('op', ']') ? null : this.expression()
    const start = part()
    if (start !== null && this.#tokens.skip('op', ']')) return { type: 'item', object, key: start }
    this.#tokens.expect('op', ':')
    const stop = part()
    const step = this.#tokens.skip('op', ':') ? part() : null
    this.#tokens.expect('op', ']')
    return { type: 'slice', object, start, stop, step }
  }

  #arguments(): CallArguments {
    const tokens = this.#tokens
    tokens.expect('op', '(')
    const positional: Expression[] = []
    const keywords: { name: string; value: Expression }[] = []
    let spread: Expression | null = null
    let keywordSpread: Expression | null = null
    this.#until(')', () => {
      if (tokens.skip('op', '*')) {
        if (spread !== null || keywordSpread !== null) tokens.fail('invalid syntax for function call expression')
        spread = this.expression()
      } else if (tokens.skip('op', '**')) {
        if (keywordSpread !== null) tokens.fail('invalid syntax for function call expression')
        keywordSpread = this.expression()
      } else if (tokens.is('name') && tokens.follows('op', '=')) {
        const name = tokens.next().value
        tokens.next()
        keywords.push({ name, value: this.expression() })
      } else {
        if (keywords.length > 0 || spread !== null || keywordSpread !== null) {
          tokens.fail('a positional argument follows a keyword argument')
        }
        positional.push(this.expression())
      }
    })
    return { positional, keywords, spread, keywordSpread }
  }

  #filtersAndTests(operand: Expression): Expression {
    let value = operand
    for (;;) {
      if (this.#tokens.skip('op', '|')) value = { type: 'filtered', value, filter: this.#filter() }
      else if (this.#tokens.skip('name', 'is')) value = this.#test(value)
      else if (this.#tokens.is('op', '(')) value = { type: 'call', callee: value, args: this.#arguments() }
      else return value
    }
  }

  #filter(): FilterCall {
    const name = this.#tokens.expect('name').value
    if (!this.#known.filters.has(name)) this.#tokens.fail(`there is no filter named '${name}'`)
    return { name, args: this.#tokens.is('op', '(') ? this.#arguments() : noArguments() }
  }

  #test(value: Expression): Expression {
    const negated = this.#tokens.skip('name', 'not')
    const name = this.#tokens.expect('name').value
    if (!this.#known.tests.has(name)) this.#tokens.fail(`there is no test named '${name}'`)
    const test: Expression = { type: 'test', value, name, args: this.#testArguments() }
    return negated ? { type: 'not', value: test } : test
  }

  /** A test's argument needs no parentheses: `x is divisibleby 2`. */
  #testArguments(): CallArguments {
    const tokens = this.#tokens
    if (tokens.is('op', '(')) return this.#arguments()
    const starts =
      ['name', 'string', 'int', 'float'].includes(tokens.current.type) || tokens.is('op', '[') || tokens.is('op', '{')
    if (!starts || (tokens.is('name') && AFTER_TEST.includes(tokens.current.value))) return noArguments()
    if (tokens.is('name', 'is')) tokens.fail('tests cannot be chained with is')
    // A word that belongs to what surrounds the test is no argument either.
    if (tokens.is('name') && ['if', 'in', 'not', 'recursive'].includes(tokens.current.value)) return noArguments()
    return { ...noArguments(), positional: [this.#postfix(this.#primary())] }
  }
}

function noArguments(): CallArguments {
  return { positional: [], keywords: [], spread: null, keywordSpread: null }
}
