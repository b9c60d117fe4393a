/** Files of adapters that are read, fail, change and vanish when a test says so. No bytes: an adapter is its digest. */
import { LorikeetError } from '../../src/errors.ts'
import type { NormalAdapter } from '../../src/lora/normal.ts'
import type { AdapterStore } from '../../src/lora/store.ts'
import { SourceError } from '../../src/weights/source.ts'

export function bareAdapter(digest: string, byteLength = 1): NormalAdapter {
  return { digest, modules: [], maxRank: 8, byteLength }
}

export class ScriptedStore implements AdapterStore {
  readonly name: string
  /** What lies there. */
  state: 'there' | 'changed' | 'gone' | 'unreadable' | 'a bug' = 'there'
  numReads = 0
  /** Reads that have begun and not ended. */
  readonly pending: Set<() => void> = new Set()
  /** Whether reads wait for finish(). */
  isSlow = false
  readonly #adapter: NormalAdapter

  constructor(adapter: NormalAdapter, name = `files of ${adapter.digest}`) {
    this.name = name
    this.#adapter = adapter
  }

  async read(signal: AbortSignal): Promise<NormalAdapter> {
    this.numReads++
    await null
    if (this.isSlow) await this.#pause(signal)
    if (signal.aborted) throw signal.reason
    if (this.state === 'gone') throw new SourceError('file_not_found', this.name, `There is nothing in ${this.name}.`)
    if (this.state === 'unreadable') throw new SourceError('file_unreadable', this.name, 'too many open files')
    if (this.state === 'a bug') throw new TypeError('undefined is not a function')
    return this.state === 'changed' ? { ...this.#adapter, digest: `${this.#adapter.digest}, changed` } : this.#adapter
  }

  /** Lets every read that is waiting go on. */
  finish(): void {
    for (const go of this.pending) go()
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        this.pending.delete(go)
        signal.removeEventListener('abort', go)
        resolve()
      }
      signal.addEventListener('abort', go)
      this.pending.add(go)
    })
  }
}

/** What `promise` rejects with, as a code and a message; null if it does not. */
export async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string } | null> {
  try {
    await promise
    return null
  } catch (error) {
    const code = error instanceof LorikeetError ? error.code : String((error as Error).name)
    return { code, message: (error as Error).message }
  }
}

/** Everything that needs no timer has happened. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 30; i++) await null
}
