/** The `loop` variable of a for loop. */
import { JinjaError } from './error.ts'
import { type Callable, equals, Native, Undefined, type Value } from './values.ts'

export class Loop extends Native {
  readonly #items: readonly Value[]
  readonly #depth: number
  readonly #recurse: ((items: Value, depth: number) => Value) | null
  #changed: readonly Value[] | null = null
  /** Where the loop stands; the interpreter moves it. */
  index0 = 0

  /** `recurse` renders the loop again over other items, for loops marked recursive; `depth` counts from 0. */
  constructor(items: readonly Value[], depth: number, recurse: ((items: Value, depth: number) => Value) | null) {
    super()
    this.#items = items
    this.#depth = depth
    this.#recurse = recurse
  }

  attribute(name: string): Value | undefined {
    const [at, length] = [this.index0, this.#items.length]
    switch (name) {
      case 'index':
        return at + 1
      case 'index0':
        return at
      case 'revindex':
        return length - at
      case 'revindex0':
        return length - at - 1
      case 'first':
        return at === 0
      case 'last':
        return at === length - 1
      case 'length':
        return length
      case 'depth':
        return this.#depth + 1
      case 'depth0':
        return this.#depth
      case 'previtem':
        return this.#items[at - 1] ?? new Undefined('there is no previous item')
      case 'nextitem':
        return this.#items[at + 1] ?? new Undefined('there is no next item')
      case 'cycle':
        return this.#cycle
      case 'changed':
        return this.#hasChanged
      default:
        return undefined
    }
  }

  override call(args: readonly Value[]): Value {
    if (this.#recurse === null) {
      throw new JinjaError("The loop must have the 'recursive' marker to be called recursively.")
    }
    if (args.length !== 1) throw new JinjaError('a recursive loop is called with one argument')
    return this.#recurse(args[0]!, this.#depth + 1)
  }

  readonly #cycle: Callable = (args) => {
    if (args.length === 0) throw new JinjaError('no items for cycling given')
    return args[this.index0 % args.length]!
  }

  readonly #hasChanged: Callable = (args) => {
    const same = this.#changed !== null && equals(this.#changed, args)
    this.#changed = args
    return !same
  }
}
