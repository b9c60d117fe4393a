/**
 * Finds stop strings in a stream without delaying the text: only what could still become a stop string is held back.
 *
 * The stop string that is complete first wins, however the text was cut into pushes; of several completed by the same
 * character the one given first wins, as in vLLM. One Knuth-Morris-Pratt automaton per stop string, so each character
 * costs constant time per string and nothing is searched twice.
 */
import { StopStringError } from './errors.ts'

/** What a push lets out, and the stop string it completed, if any. */
export interface StopResult {
  readonly emit: string
  readonly matched: string | null
}

/** One stream's matcher. */
export class StopStrings {
  readonly #automata: readonly Automaton[]
  readonly #include: boolean
  #held = ''
  #matched: string | null = null

  /**
   * `stops` may be empty: then everything passes. With `includeStop` the stop string itself is part of the output, so
   * nothing is ever held back. Throws StopStringError for an empty stop string.
   */
  constructor(stops: readonly string[], options: { readonly includeStop?: boolean } = {}) {
    const empty = stops.indexOf('')
    if (empty !== -1) throw new StopStringError(`stop[${empty}]`)
    this.#automata = stops.map((stop) => new Automaton(stop))
    this.#include = options.includeStop ?? false
  }

  /** Once something matched, later text is dropped: `emit` stays empty and `matched` stays what it was. */
  push(text: string): StopResult {
    if (this.#matched !== null) return { emit: '', matched: this.#matched }
    const all = this.#held + text
    for (let i = 0; i < text.length; i++) {
      const stop = this.#step(text.charCodeAt(i))
      if (stop === null) continue
      this.#matched = stop
      const end = this.#held.length + i + 1
      this.#held = ''
      return { emit: all.slice(0, this.#include ? end : end - stop.length), matched: stop }
    }
    const keep = this.#include ? 0 : Math.max(0, ...this.#automata.map((automaton) => automaton.state))
    this.#held = all.slice(all.length - keep)
    return { emit: all.slice(0, all.length - keep), matched: null }
  }

  /** What was held back, when no more text comes: it was no stop string after all. */
  flush(): string {
    const held = this.#held
    this.#held = ''
    for (const automaton of this.#automata) automaton.state = 0
    return held
  }

  /** All automata see the character; the first of them to be complete is the match. */
  #step(unit: number): string | null {
    let found: string | null = null
    for (const automaton of this.#automata) {
      if (automaton.step(unit) && found === null) found = automaton.pattern
    }
    return found
  }
}

/** Knuth-Morris-Pratt: `state` is the length of the longest prefix of the pattern that ends the text so far. */
class Automaton {
  readonly pattern: string
  state = 0
  /** fallback[n]: length of the longest proper prefix of the first n units that also ends them. */
  readonly #fallback: Int32Array

  constructor(pattern: string) {
    this.pattern = pattern
    this.#fallback = new Int32Array(pattern.length + 1)
    for (let n = 1, length = 0; n < pattern.length; n++) {
      while (length > 0 && pattern[n] !== pattern[length]) length = this.#fallback[length]!
      if (pattern[n] === pattern[length]) length++
      this.#fallback[n + 1] = length
    }
  }

  /** True when the pattern is complete. */
  step(unit: number): boolean {
    while (this.state > 0 && this.pattern.charCodeAt(this.state) !== unit) this.state = this.#fallback[this.state]!
    if (this.pattern.charCodeAt(this.state) === unit) this.state++
    return this.state === this.pattern.length
  }
}
