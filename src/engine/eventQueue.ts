/** Carries events from the engine, which never waits, to one reader, who takes them when it likes. */
import { invariant } from '../errors.ts'

export class EventQueue<T> implements AsyncIterable<T> {
  readonly #events: T[] = []
  /** Set once nothing more is pushed: what the reader meets after the last event. */
  #ending: { readonly error: Error | null } | null = null
  #hasReader = false
  /** Readers that found nothing. */
  readonly #sleepers: (() => void)[] = []
  readonly #onReturn: () => void

  /** `onReturn` is called when the reader leaves before the end. */
  constructor(onReturn: () => void) {
    this.#onReturn = onReturn
  }

  push(event: T): void {
    invariant(this.#ending === null, 'An event came after the end')
    this.#events.push(event)
    this.#wake()
  }

  /** Ends the iteration after the events pushed so far: plainly, or by throwing `error`. */
  end(error: Error | null = null): void {
    invariant(this.#ending === null, 'A generation ended twice')
    this.#ending = { error }
    this.#wake()
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    invariant(!this.#hasReader, 'A generation is iterated twice')
    this.#hasReader = true
    return { next: () => this.#next(), return: () => this.#return() }
  }

  async #next(): Promise<IteratorResult<T, undefined>> {
    while (this.#events.length === 0 && this.#ending === null) {
      await new Promise<void>((resolve) => this.#sleepers.push(resolve))
    }
    if (this.#events.length > 0) return { done: false, value: this.#events.shift()! }
    const { error } = this.#ending!
    this.#ending = { error: null } // thrown once
    if (error) throw error
    return { done: true, value: undefined }
  }

  async #return(): Promise<IteratorResult<T, undefined>> {
    if (this.#ending === null) this.#onReturn()
    return { done: true, value: undefined }
  }

  #wake(): void {
    for (const resume of this.#sleepers.splice(0)) resume()
  }
}
