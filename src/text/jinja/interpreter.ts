/** Runs a template: statements write text, set names and loop. */
import { JinjaError } from './error.ts'
import { Evaluator, type Library } from './evaluator.ts'
import { Loop } from './loop.ts'
import type { Block, Expression, For, MacroBody, Statement, Target } from './nodes.ts'
import { Output, Scope } from './scope.ts'
import { type Callable, iterate, MAX_TEXT, Namespace, str, truthy, tuple, Undefined, type Value } from './values.ts'

/** How a body ended: at its end, or by a loop control on its way to the loop. */
type Ending = 'end' | 'break' | 'continue'

export class Interpreter {
  readonly #evaluator: Evaluator
  #line = 0

  constructor(library: Library, maxSteps: number) {
    this.#evaluator = new Evaluator(library, maxSteps)
  }

  /** Line of the statement that ran last, for messages. */
  get line(): number {
    return this.#line
  }

  /** Text of a body run in this scope. */
  render(body: Block, scope: Scope): string {
    const out = new Output((text) => {
      if (text.length > MAX_TEXT) throw new JinjaError('the template writes too much text')
    })
    this.#run(body, scope, out)
    return out.text
  }

  #run(body: Block, scope: Scope, out: Output): Ending {
    for (const statement of body) {
      const ending = this.#statement(statement, scope, out)
      if (ending !== 'end') return ending
    }
    return 'end'
  }

  #statement(node: Statement, scope: Scope, out: Output): Ending {
    this.#evaluator.step()
    if (node.type !== 'text') this.#line = node.line
    switch (node.type) {
      case 'text':
        out.write(node.text)
        return 'end'
      case 'print':
        out.write(str(this.#value(node.value, scope)))
        return 'end'
      case 'if': {
        const branch = node.branches.find(({ test }) => truthy(this.#value(test, scope)))
        return this.#run(branch === undefined ? node.otherwise : branch.body, scope, out)
      }
      case 'for':
        return this.#for(node, scope, out, this.#value(node.iterable, scope), 0)
      case 'set':
        this.#assign(node.target, this.#value(node.value, scope), scope)
        return 'end'
      case 'setBlock': {
        const text: Value = this.render(node.body, new Scope(scope))
        const value = node.filters.reduce<Value>((made, filter) => this.#evaluator.filter(filter, made, scope), text)
        this.#assign(node.target, value, scope)
        return 'end'
      }
      case 'macro':
        scope.set(node.name, this.#macro(node.name, node, scope))
        return 'end'
      case 'call':
        out.write(str(this.#call(node, scope)))
        return 'end'
      case 'filter': {
        const text: Value = this.render(node.body, new Scope(scope))
        out.write(str(node.filters.reduce<Value>((made, filter) => this.#evaluator.filter(filter, made, scope), text)))
        return 'end'
      }
      case 'with': {
        const inner = new Scope(scope)
        for (const { target, value } of node.assignments) this.#assign(target, this.#value(value, scope), inner)
        return this.#run(node.body, inner, out)
      }
      case 'plain':
        return this.#run(node.body, new Scope(scope), out)
      case 'break':
      case 'continue':
        return node.type
    }
  }

  /** Each turn has its own scope: what a turn sets, the next does not see. */
  #for(node: For, scope: Scope, out: Output, iterable: Value, depth: number): Ending {
    const chosen = iterate(iterable).filter((item) => {
      if (node.test === null) return true
      const inner = new Scope(scope)
      this.#assign(node.target, item, inner)
      return truthy(this.#value(node.test, inner))
    })
    const recurse = (items: Value, level: number): Value => this.#nested(node, scope, items, level)
    const loop = new Loop(chosen, depth, node.recursive ? recurse : null)
    for (const [index, item] of chosen.entries()) {
      loop.index0 = index
      const inner = new Scope(scope)
      inner.set('loop', loop)
      this.#assign(node.target, item, inner)
      if (this.#run(node.body, inner, out) === 'break') break
    }
    return chosen.length === 0 ? this.#run(node.otherwise, new Scope(scope), out) : 'end'
  }

  #nested(node: For, scope: Scope, items: Value, depth: number): Value {
    const out = new Output(() => this.#evaluator.step())
    this.#for(node, scope, out, items, depth)
    return out.text
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.type === 'name') {
      scope.set(target.name, value)
      return
    }
    if (target.type === 'attribute') {
      const namespace = scope.get(target.namespace)
      if (!(namespace instanceof Namespace)) throw new JinjaError('cannot assign attribute on non-namespace object')
      namespace.attributes.set(target.name, value)
      return
    }
    const items = iterate(value)
    const wanted = target.items.length
    if (items.length > wanted) throw new JinjaError(`too many values to unpack (expected ${wanted})`)
    if (items.length < wanted) {
      throw new JinjaError(`not enough values to unpack (expected ${wanted}, got ${items.length})`)
    }
    for (const [i, one] of target.items.entries()) this.#assign(one, items[i]!, scope)
  }

  #call(node: Extract<Statement, { type: 'call' }>, scope: Scope): Value {
    const caller = this.#macro('caller', node, scope)
    if (node.call.type !== 'call') throw new JinjaError('expected a call')
    const { args } = node.call
    const keywords = [...args.keywords, { name: 'caller', value: { type: 'constant', value: caller } as const }]
    return this.#value({ ...node.call, args: { ...args, keywords } }, scope)
  }

  /** A macro sees the names of the place it was defined in, as they are when it is called. */
  #macro(name: string, macro: MacroBody, defined: Scope): Callable {
    return (args, kwargs) => {
      const scope = new Scope(defined)
      const extra = new Map(kwargs)
      const takes = (special: string): boolean => macro.specials.has(special)
      for (const [i, { name: parameter, fallback }] of macro.parameters.entries()) {
        if (i < args.length && extra.has(parameter)) {
          throw new JinjaError(`macro '${name}' got multiple values for argument '${parameter}'`)
        }
        const given = args[i] ?? extra.get(parameter)
        extra.delete(parameter)
        const missing = (): Value =>
          fallback === null ? new Undefined(`parameter '${parameter}' was not provided`) : this.#value(fallback, scope)
        scope.set(parameter, given ?? missing())
      }
      if (takes('caller')) {
        scope.set('caller', extra.get('caller') ?? new Undefined('No caller defined'))
        extra.delete('caller')
      }
      if (takes('kwargs')) scope.set('kwargs', new Map(extra))
      else if (extra.size > 0)
        throw new JinjaError(`macro '${name}' takes no keyword argument '${[...extra.keys()][0]}'`)
      if (takes('varargs')) scope.set('varargs', tuple(...args.slice(macro.parameters.length)))
      else if (args.length > macro.parameters.length) {
        throw new JinjaError(`macro '${name}' takes not more than ${macro.parameters.length} argument(s)`)
      }
      return this.render(macro.body, scope)
    }
  }

  #value(node: Expression, scope: Scope): Value {
    return this.#evaluator.evaluate(node, scope)
  }
}
