/** Values of expressions. Every node costs a step, and a template has only so many: a loop over a range of ranges ends. */
import { attribute, item, slice } from './access.ts'
import { JinjaError } from './error.ts'
import type { ByName, Filter } from './filter.ts'
import type { CallArguments, Expression, FilterCall } from './nodes.ts'
import { arithmetic, compare, key, negate } from './operators.ts'
import type { Scope } from './scope.ts'
import {
  isDict,
  isList,
  iterate,
  type Kwargs,
  MAX_ITEMS,
  MAX_TEXT,
  Native,
  str,
  truthy,
  tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

type Test = (value: Value, args: readonly Value[]) => boolean

/** The filters and tests templates may name. */
export interface Library {
  readonly filters: ReadonlyMap<string, Filter>
  readonly tests: ReadonlyMap<string, Test>
}

const NO_KEYWORDS: Kwargs = new Map()

export class Evaluator {
  readonly #library: Library
  #steps: number

  constructor(library: Library, maxSteps: number) {
    this.#library = library
    this.#steps = maxSteps
  }

  /** One unit of work; throws when there have been too many. */
  step(): void {
    if (--this.#steps < 0) throw new JinjaError('the template does too much work')
  }

  evaluate(node: Expression, scope: Scope): Value {
    this.step()
    return bounded(this.#evaluate(node, scope))
  }

  filter(call: FilterCall, value: Value, scope: Scope): Value {
    const { args, kwargs } = this.#arguments(call.args, scope)
    return bounded(this.#library.filters.get(call.name)!(value, args, kwargs))
  }

  call(callee: Value, args: readonly Value[], kwargs: Kwargs): Value {
    this.step()
    if (typeof callee === 'function') return bounded(callee(args, kwargs))
    if (callee instanceof Native) return bounded(callee.call(args))
    if (callee instanceof Undefined) callee.fail()
    throw new JinjaError(`'${typeName(callee)}' object is not callable`)
  }

  #evaluate(node: Expression, scope: Scope): Value {
    switch (node.type) {
      case 'constant':
        return node.value
      case 'name':
        return scope.get(node.name)
      case 'list':
        return node.items.map((one) => this.evaluate(one, scope))
      case 'tuple':
        return tuple(...node.items.map((one) => this.evaluate(one, scope)))
      case 'concat':
        return node.items.map((one) => str(this.evaluate(one, scope))).join('')
      case 'dict':
        return new Map(
          node.entries.map(
            (entry) => [key(this.evaluate(entry.key, scope)), this.evaluate(entry.value, scope)] as const,
          ),
        )
      case 'attribute':
        return attribute(this.evaluate(node.object, scope), node.name)
      case 'item':
        return item(this.evaluate(node.object, scope), this.evaluate(node.key, scope))
      case 'slice': {
        const part = (one: Expression | null): Value => (one === null ? null : this.evaluate(one, scope))
        return slice(this.evaluate(node.object, scope), part(node.start), part(node.stop), part(node.step))
      }
      case 'call': {
        const callee = this.evaluate(node.callee, scope)
        const { args, kwargs } = this.#arguments(node.args, scope)
        return this.call(callee, args, kwargs)
      }
      case 'filtered':
        return this.filter(node.filter, this.evaluate(node.value, scope), scope)
      case 'test':
        return this.#library.tests.get(node.name)!(
          this.evaluate(node.value, scope),
          this.#arguments(node.args, scope).args,
        )
      case 'not':
        return !truthy(this.evaluate(node.value, scope))
      case 'negative':
        return negate(this.evaluate(node.value, scope), -1)
      case 'positive':
        return negate(this.evaluate(node.value, scope), 1)
      case 'and': {
        const left = this.evaluate(node.left, scope)
        return truthy(left) ? this.evaluate(node.right, scope) : left
      }
      case 'or': {
        const left = this.evaluate(node.left, scope)
        return truthy(left) ? left : this.evaluate(node.right, scope)
      }
      case 'arithmetic':
        return arithmetic(node.operator, this.evaluate(node.left, scope), this.evaluate(node.right, scope))
      case 'compare':
        return this.#compare(node, scope)
      case 'conditional':
        if (truthy(this.evaluate(node.test, scope))) return this.evaluate(node.chosen, scope)
        return node.otherwise === null
          ? new Undefined('the inline if-expression evaluated to false and no else section was defined')
          : this.evaluate(node.otherwise, scope)
    }
  }

  /** a < b < c is a < b and b < c, with b evaluated once. */
  #compare(node: Extract<Expression, { type: 'compare' }>, scope: Scope): boolean {
    let left = this.evaluate(node.first, scope)
    for (const { operator, value } of node.rest) {
      const right = this.evaluate(value, scope)
      if (!compare(operator, left, right)) return false
      left = right
    }
    return true
  }

  #arguments(call: CallArguments, scope: Scope): { args: Value[]; kwargs: Kwargs } {
    const args = call.positional.map((one) => this.evaluate(one, scope))
    if (call.spread !== null) for (const one of iterate(this.evaluate(call.spread, scope))) args.push(one)
    if (call.keywords.length === 0 && call.keywordSpread === null) return { args, kwargs: NO_KEYWORDS }
    const kwargs = new Map<string, Value>()
    const add = (name: string, value: Value): void => {
      if (kwargs.has(name)) throw new JinjaError(`got multiple values for keyword argument '${name}'`)
      kwargs.set(name, value)
    }
    for (const { name, value } of call.keywords) add(name, this.evaluate(value, scope))
    if (call.keywordSpread !== null) {
      const spread = this.evaluate(call.keywordSpread, scope)
      if (!isDict(spread)) throw new JinjaError(`argument after ** must be a mapping, not ${typeName(spread)}`)
      for (const [name, value] of spread) add(String(name), value)
    }
    return { args, kwargs }
  }
}

/** Filters and tests that are named by a value, for `map` and `select`. */
export function byName(library: () => Library): ByName {
  return {
    filter(name, value, args, kwargs) {
      const filter = library().filters.get(name)
      if (filter === undefined) throw new JinjaError(`No filter named '${name}'.`)
      return filter(value, args, kwargs)
    },
    test(name, value, args) {
      const test = library().tests.get(name)
      if (test === undefined) throw new JinjaError(`No test named '${name}'.`)
      return test(value, args)
    },
  }
}

function bounded(value: Value): Value {
  if (typeof value === 'string' && value.length > MAX_TEXT) throw new JinjaError('the template makes too long a text')
  if (isList(value) && value.length > MAX_ITEMS) throw new JinjaError('the template makes too long a list')
  return value
}
