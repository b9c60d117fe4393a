/** Names and what they stand for, from the innermost scope outwards. */
import { Undefined, type Value } from './values.ts'

export class Scope {
  readonly #parent: Scope | null
  readonly #names = new Map<string, Value>()

  constructor(parent: Scope | null) {
    this.#parent = parent
  }

  set(name: string, value: Value): void {
    this.#names.set(name, value)
  }

  get(name: string): Value {
    for (let scope: Scope | null = this; scope !== null; scope = scope.#parent) {
      const value = scope.#names.get(name)
      if (value !== undefined) return value
    }
    return new Undefined(`'${name}' is undefined`)
  }
}

/** Text as it is written; a limit keeps a loop from filling the memory. */
export class Output {
  readonly #limit: () => void
  text = ''

  /** `limit` is called with every write and throws when there is too much. */
  constructor(limit: (text: string) => void) {
    this.#limit = () => limit(this.text)
  }

  write(text: string): void {
    this.text += text
    this.#limit()
  }
}
