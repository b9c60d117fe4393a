/** Tokens a second, now and over a whole answer, from the counts that come with its pieces. */

/** "Now" is the last two seconds. */
const WINDOW_MS = 2000

export class RateMeter {
  readonly #samples: { readonly at: number; readonly tokens: number }[] = []
  #first: { readonly at: number; readonly tokens: number } | null = null
  #last: { readonly at: number; readonly tokens: number } | null = null

  /** `tokens` so far, at `at` ms. */
  add(tokens: number, at: number): void {
    const sample = { at, tokens }
    this.#first ??= sample
    this.#last = sample
    this.#samples.push(sample)
    while (this.#samples.length > 2 && this.#samples[0]!.at < at - WINDOW_MS) this.#samples.shift()
  }

  /** A stream that has stalled slows down, because time goes on without it. */
  now(at: number): number {
    const inside = this.#samples.filter((sample) => sample.at >= at - WINDOW_MS)
    const from = inside[0]
    const to = inside.at(-1)
    if (!from || !to || to.tokens === from.tokens) return 0
    return ((to.tokens - from.tokens) * 1000) / Math.max(1, at - from.at)
  }

  /** From the first piece to the last; zero while there is only one. */
  get average(): number {
    if (!this.#first || !this.#last || this.#last.at <= this.#first.at) return 0
    return ((this.#last.tokens - this.#first.tokens) * 1000) / (this.#last.at - this.#first.at)
  }
}
