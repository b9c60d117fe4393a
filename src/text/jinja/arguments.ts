/** Arguments of a filter, method or function by name, as Python would bind them. */
import { JinjaError } from './error.ts'
import { type Kwargs, numeric, truthy, typeName, Undefined, type Value } from './values.ts'

export class Arguments {
  readonly #name: string
  readonly #values: ReadonlyMap<string, Value>

  /** `names`: parameters in order. Throws for an argument too many, one given twice, or one without a parameter. */
  constructor(name: string, names: readonly string[], args: readonly Value[], kwargs: Kwargs) {
    this.#name = name
    if (args.length > names.length) {
      throw new JinjaError(`${name}() takes at most ${names.length} argument(s), ${args.length} were given`)
    }
    const values = new Map(args.map((value, i) => [names[i]!, value]))
    for (const [key, value] of kwargs) {
      if (!names.includes(key)) throw new JinjaError(`${name}() got an unexpected keyword argument '${key}'`)
      if (values.has(key)) throw new JinjaError(`${name}() got multiple values for argument '${key}'`)
      values.set(key, value)
    }
    this.#values = values
  }

  get(name: string): Value | undefined {
    return this.#values.get(name)
  }

  /** The argument, which must be there. */
  need(name: string): Value {
    const value = this.#values.get(name)
    if (value === undefined) throw new JinjaError(`${this.#name}() is missing its argument '${name}'`)
    return value
  }

  text(name: string, fallback?: string): string {
    const value = this.#values.get(name) ?? fallback
    if (typeof value === 'string') return value
    if (value instanceof Undefined) value.fail()
    throw new JinjaError(
      `${this.#name}(): '${name}' must be str, not ${value === undefined ? 'missing' : typeName(value)}`,
    )
  }

  int(name: string, fallback: number): number {
    const value = this.#values.get(name)
    if (value === undefined) return fallback
    if (value instanceof Undefined) value.fail()
    const number = numeric(value)
    if (number !== null && Number.isInteger(number)) return number
    throw new JinjaError(`${this.#name}(): '${name}' must be int, not ${typeName(value)}`)
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.#values.get(name)
    return value === undefined ? fallback : truthy(value)
  }
}
