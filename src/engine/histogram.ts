/** Counts values by size, as Prometheus' histograms do. Observing one allocates nothing. */
import { invariant } from '../errors.ts'

export class Histogram {
  /** Upper ends of the buckets, ascending; a last bucket without one follows. */
  readonly bounds: readonly number[]
  /** Values in each bucket alone. Float64 counts exactly to 2^53. */
  readonly #counts: Float64Array
  #sum = 0

  constructor(bounds: readonly number[]) {
    invariant(
      bounds.every((bound, i) => i === 0 || bound > bounds[i - 1]!),
      'The bounds of a histogram ascend',
    )
    this.bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  /** Counts `value` in the first bucket whose bound is not below it. */
  observe(value: number): void {
    let low = 0
    let high = this.bounds.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.bounds[middle]! < value) low = middle + 1
      else high = middle
    }
    this.#counts[low]!++
    this.#sum += value
  }

  get sum(): number {
    return this.#sum
  }

  get count(): number {
    return this.#counts.reduce((total, count) => total + count, 0)
  }

  /** For each bound how many values are not above it. */
  cumulative(): number[] {
    let total = 0
    return this.bounds.map((_, i) => (total += this.#counts[i]!))
  }
}
