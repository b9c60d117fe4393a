/**
 * Jinja for chat templates: the language as transformers sets it up (immutable sandbox, trimmed blocks, loop controls,
 * `generation`, its own tojson), with Python's way of printing and refusing. Templates come with models: there is no
 * access to anything but the variables given, no eval, and bounds on the work, the text and the depth.
 */
import { JinjaError, JinjaSyntaxError } from './error.ts'
import { byName, type Library } from './evaluator.ts'
import { createFilters } from './filters.ts'
import { Interpreter } from './interpreter.ts'
import type { Block } from './nodes.ts'
import { parse } from './parser.ts'
import { Scope } from './scope.ts'
import { strftime } from './strftime.ts'
import { createTests } from './tests.ts'
import { type Callable, fromJs, isDict, iterate, Namespace, str, Undefined, type Value } from './values.ts'

/** Some seconds of work at most; a long conversation takes a hundredth of it. */
const MAX_STEPS = 10_000_000
/** As in Jinja's sandbox. */
const MAX_RANGE = 100_000

/** A parsed template. Immutable. */
export class JinjaTemplate {
  readonly body: Block
  readonly #library: Library

  /** Throws JinjaSyntaxError. */
  constructor(source: string) {
    const library: Library = createLibrary()
    this.#library = library
    const known = { filters: new Set(library.filters.keys()), tests: new Set(library.tests.keys()) }
    this.body = deep(
      () => parse(source, known),
      (message) => new JinjaSyntaxError(message, 1),
    )
  }

  /** Throws JinjaError. `variables` are JSON-like data; `now` is what strftime_now prints. */
  render(variables: Readonly<Record<string, unknown>>, now: Date): string {
    const interpreter = new Interpreter(this.#library, MAX_STEPS)
    const globals = new Scope(null)
    for (const [name, value] of Object.entries(createGlobals(now))) globals.set(name, value)
    try {
      return deep(
        () => {
          for (const [name, value] of Object.entries(variables)) {
            if (value !== undefined) globals.set(name, fromJs(value))
          }
          return interpreter.render(this.body, new Scope(globals))
        },
        (message) => new JinjaError(message),
      )
    } catch (error) {
      if (error instanceof JinjaError && !error.raised && interpreter.line > 0) {
        throw new JinjaError(`line ${interpreter.line}: ${error.message}`)
      }
      throw error
    }
  }
}

/** Names every template has; variables of the same name would hide them. */
export const GLOBAL_NAMES: readonly string[] = Object.keys(createGlobals(new Date(0)))

function createLibrary(): Library {
  const lookup = byName(() => library)
  const filters = createFilters(lookup)
  const library: Library = { filters, tests: createTests(new Set(filters.keys())) }
  return library
}

function createGlobals(now: Date): Record<string, Callable> {
  return {
    range: (args) => range(args),
    dict: (args, kwargs) => new Map([...pairs(args[0] ?? null), ...kwargs]),
    namespace: (args, kwargs) => new Namespace([...pairs(args[0] ?? null), ...kwargs]),
    raise_exception: (args) => {
      throw new JinjaError(args.map(str).join(' '), { raised: true })
    },
    strftime_now: (args) => {
      const format = args[0]
      if (typeof format !== 'string') throw new JinjaError('strftime_now needs a format')
      return strftime(now, format)
    },
  }
}

function range(args: readonly Value[]): Value {
  const numbers = args.map((value) => {
    if (value instanceof Undefined) value.fail()
    if (typeof value === 'number') return value
    throw new JinjaError('range() needs integers')
  })
  if (numbers.length < 1 || numbers.length > 3) throw new JinjaError('range() takes one to three arguments')
  const [start, stop, step] = numbers.length === 1 ? [0, numbers[0]!, 1] : [numbers[0]!, numbers[1]!, numbers[2] ?? 1]
  if (step === 0) throw new JinjaError('range() arg 3 must not be zero')
  const count = Math.max(0, Math.ceil((stop - start) / step))
  if (count > MAX_RANGE) throw new JinjaError(`Range too big. The sandbox blocks ranges larger than ${MAX_RANGE}.`)
  return Array.from({ length: count }, (_, i) => start + i * step)
}

/** What dict() and namespace() take: a dict or a list of pairs. */
function pairs(value: Value): [string, Value][] {
  if (value === null) return []
  if (isDict(value)) return [...value].map(([key, one]) => [String(key), one])
  return iterate(value).map((pair) => {
    const [key, one] = iterate(pair)
    if (typeof key !== 'string' || one === undefined) throw new JinjaError('pairs of a name and a value are needed')
    return [key, one]
  })
}

/** Nesting beyond the stack is an error like any other. */
function deep<Result>(run: () => Result, fail: (message: string) => Error): Result {
  try {
    return run()
  } catch (error) {
    if (error instanceof RangeError) throw fail(`it is nested too deeply or makes too long a text (${error.message})`)
    throw error
  }
}
