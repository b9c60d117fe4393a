/**
 * A directory with one adapter per sub-folder, kept in step with the names that are served. It is looked at as a whole,
 * again and again; a folder is read when two looks in a row found it the same (a copy in progress changes), and when
 * reading it left it the same. What cannot be read or is refused is said once, and tried again when it changes.
 */
import { LorikeetError } from '../errors.ts'
import type { Folder } from '../weights/folder.ts'
import { SourceError } from '../weights/source.ts'
import { AdapterChangedError, type AdapterLoader } from './loader.ts'
import { AdapterNameError } from './names.ts'
import type { AdapterRegistry } from './registry.ts'

/** One sub-folder as it is now. */
export interface Subfolder {
  readonly name: string
  /** Differs whenever a file of it does; null where it cannot be looked into. */
  readonly stamp: string | null
  /** Why not, then. */
  readonly problem: string | null
}

/** The directory, as a host shows it. */
export interface Subfolders {
  /** Path, for messages. */
  readonly name: string
  /** @throws SourceError when the directory itself cannot be listed */
  list(): Promise<readonly Subfolder[]>
  /** One of them; null when it is gone. */
  look(name: string): Promise<Subfolder | null>
  folder(name: string): Folder
}

/** Waits, so that tests need not. */
export interface Clock {
  /** Resolves after `ms`, or at once when `signal` fires. */
  wait(ms: number, signal: AbortSignal): Promise<void>
}

export const SYSTEM_CLOCK: Clock = {
  wait(ms, signal) {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        resolve()
      }
      const timer = setTimeout(end, ms)
      signal.addEventListener('abort', end)
      if (signal.aborted) end()
    })
  },
}

type Level = 'debug' | 'info' | 'warn' | 'error'

export interface LoraDirectoryOptions {
  readonly subfolders: Subfolders
  readonly loader: Pick<AdapterLoader, 'load' | 'unload'>
  readonly registry: Pick<AdapterRegistry, 'find'>
  readonly log: (level: Level, message: string, fields?: Readonly<Record<string, unknown>>) => void
}

/** What is remembered of a sub-folder between two looks. */
interface Known {
  /** As it was at the last look; null when it could not be looked into. */
  stamp: string | null
  /** As it was when it was last read. */
  read: string | null
  /** Whether its adapter was registered from here at any time. */
  wasServed: boolean
  /** Whether reading `read` ended with it registered. */
  isServed: boolean
  /** The last thing that was said about it, so that it is not said again. */
  said: string | null
}

export class LoraDirectory {
  readonly #options: LoraDirectoryOptions
  readonly #known = new Map<string, Known>()
  readonly #stop = new AbortController()
  /** What was last said about the directory as a whole. */
  #said: string | null = null
  #watching: Promise<void> | null = null

  constructor(options: LoraDirectoryOptions) {
    this.#options = options
  }

  /**
   * The look at the start: takes what is there without waiting to see it twice.
   * @throws SourceError when the directory cannot be listed
   */
  async open(): Promise<void> {
    const { subfolders, log } = this.#options
    const found = await subfolders.list()
    await this.#compare(found, true)
    const numServed = [...this.#known.values()].filter(({ isServed }) => isServed).length
    log('info', `${numServed} adapters from ${subfolders.name}`, { skipped: found.length - numServed })
  }

  /** Looks every half interval, so that what stays put for that long is served within one. Call it once. */
  watch(intervalMs: number, clock: Clock = SYSTEM_CLOCK): void {
    this.#watching ??= this.#watch(intervalMs / 2, clock)
  }

  /** Ends the watch. What was loaded stays. Resolves when nothing of a look is under way. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#watching
  }

  /** One look. Resolves when everything that it found to do has been done; never rejects. */
  async scan(): Promise<void> {
    const { subfolders, log } = this.#options
    let found: readonly Subfolder[]
    try {
      found = await subfolders.list()
    } catch (error) {
      // Nothing is taken away for it: a volume that is not mounted for a moment is no order to stop serving.
      const problem = messageOf(error)
      if (problem !== this.#said) log('warn', `the adapter directory cannot be read, its adapters stay: ${problem}`)
      this.#said = problem
      return
    }
    this.#said = null
    await this.#compare(found, false)
  }

  async #watch(periodMs: number, clock: Clock): Promise<void> {
    const { signal } = this.#stop
    for (;;) {
      await clock.wait(periodMs, signal)
      if (signal.aborted) return
      await this.scan()
    }
  }

  async #compare(found: readonly Subfolder[], takesAtOnce: boolean): Promise<void> {
    const here = new Set(found.map(({ name }) => name))
    const gone = [...this.#known.keys()].filter((name) => !here.has(name))
    await Promise.all([
      ...gone.map((name) => this.#remove(name)),
      ...found.map((subfolder) => this.#update(subfolder, takesAtOnce)),
    ])
  }

  async #remove(name: string): Promise<void> {
    const { loader, registry, log, subfolders } = this.#options
    this.#known.delete(name)
    const record = registry.find(name)
    // A request may have put another adapter under the name: that one is not ours to take away.
    if (record?.origin !== 'directory') return
    const leaving = await loader.unload(name)
    if (!leaving) return
    log('info', `adapter ${name} is gone from ${subfolders.name}`, { running: leaving.leases })
  }

  async #update({ name, stamp, problem }: Subfolder, takesAtOnce: boolean): Promise<void> {
    const known = this.#known.get(name) ?? { stamp: null, read: null, wasServed: false, isServed: false, said: null }
    this.#known.set(name, known)
    const isSettled = stamp !== null && (takesAtOnce || stamp === known.stamp)
    known.stamp = stamp
    if (stamp === null) {
      // A file that was readable and is no more does not take its adapter away.
      this.#say(known, 'warn', name, problem ?? 'it cannot be read')
      return
    }
    const isFree = this.#options.registry.find(name) === null
    if (!isSettled || (known.read === stamp && !(known.isServed && isFree))) return
    // Thousands of lines at the start would hide the few that matter.
    await this.#read(name, stamp, known, takesAtOnce ? 'debug' : 'info')
  }

  async #read(name: string, stamp: string, known: Known, level: Level): Promise<void> {
    const { loader, registry, log, subfolders } = this.#options
    const before = registry.find(name)
    if (before && before.origin !== 'directory' && !known.wasServed) {
      this.#say(known, 'warn', name, `the name belongs to the adapter from ${before.root}`)
      return
    }
    try {
      const { record, notes } = await loader.load(name, subfolders.folder(name), {
        replace: before !== null,
        origin: 'directory',
        isUnchanged: async () => (await subfolders.look(name))?.stamp === stamp,
        signal: this.#stop.signal,
      })
      Object.assign(known, { read: stamp, isServed: true, wasServed: true, said: null })
      const what = before === null ? 'is served' : before.digest === record.digest ? 'is as it was' : 'was replaced'
      log(level, `adapter ${name} ${what}`, { from: record.root, digest: record.digest.slice(0, 12) })
      for (const note of notes) log('info', `adapter ${name}: ${note}`)
    } catch (error) {
      if (this.#stop.signal.aborted) return
      // Half a copy is no reason to complain: it is looked at again when it has come to rest.
      if (error instanceof AdapterChangedError || (await subfolders.look(name))?.stamp !== stamp) {
        log('debug', `adapter ${name} changed while it was read; it is looked at again`)
        return
      }
      // Somebody took the name meanwhile; the next look sees whose it is.
      if (error instanceof AdapterNameError && error.status === 409)
        return this.#say(known, 'warn', name, error.message)
      // A file that cannot be read may become readable without changing; what was refused stays refused until it changes.
      const isTransient = error instanceof SourceError && error.code === 'file_unreadable'
      if (!isTransient) Object.assign(known, { read: stamp, isServed: false })
      this.#say(known, error instanceof LorikeetError ? 'warn' : 'error', name, messageOf(error))
    }
  }

  /** One line, and not the same one again. */
  #say(known: Known, level: Level, name: string, reason: string): void {
    if (known.said === reason) return
    known.said = reason
    const { log, subfolders, registry } = this.#options
    const still = registry.find(name)?.origin === 'directory' ? '; it is served as it was before' : ''
    log(level, `skipped ${name} in ${subfolders.name}${still}: ${reason}`)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
