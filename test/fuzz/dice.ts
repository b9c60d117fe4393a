/** Choices of a generator: all of them follow from one seed, so that an input can be made again from its number. */
import { Random } from '../support/random.ts'

export class Dice extends Random {
  /** The dice of input `index` of a target: near numbers give unlike dice. */
  static of(seed: number, target: string, index: number): Dice {
    let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35)
    for (const char of target) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193)
    return new Dice(state ^ (state >>> 15))
  }

  pick<T>(items: readonly T[]): T {
    return items[this.integer(items.length)]!
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** From `low` to `high`, both included; small ones more often. */
  small(low: number, high: number): number {
    return low + Math.floor(this.next() ** 2 * (high - low + 1))
  }

  list<T>(count: number, make: (index: number) => T): T[] {
    return Array.from({ length: count }, (_, i) => make(i))
  }

  bytes(count: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length: count }, () => this.integer(256))
  }

  /** Some of the items, in their order. */
  some<T>(items: readonly T[], probability = 0.5): T[] {
    return items.filter(() => this.chance(probability))
  }
}
