/**
 * Order among things that take time. Two loads of one name must not overtake each other, or the older would win; and a
 * hundred loads at once must not be in memory at once.
 */
import { abortReason } from '../errors.ts'

/** What has the same key is done one after the other, in the order it was asked for; the rest goes side by side. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Runs `work` when everything before it under `key` has ended, well or badly. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    const mine = before ? before.then(work, work) : work()
    this.#last.set(key, mine)
    const end = (): void => {
      if (this.#last.get(key) === mine) this.#last.delete(key)
    }
    mine.then(end, end)
    return mine
  }
}

/** Lets so many in at a time, first come first served. */
export class Gate {
  #free: number
  readonly #queue: (() => void)[] = []

  constructor(width: number) {
    this.#free = width
  }

  /** @throws the signal's reason if it fires before `work` has begun, and what `work` throws. */
  async pass<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((enter) => this.#queue.push(enter))
    try {
      if (signal?.aborted) throw abortReason(signal)
      return await work()
    } finally {
      const next = this.#queue.shift()
      if (next) next()
      else this.#free++
    }
  }
}
