/**
 * Adapter bytes in host memory, between the files they came from and the GPU. There is a budget: what came from files gives
 * way when it is full, least recently used first, and is read again when it is next needed. What a generation leases stays,
 * so that whatever becomes of the files, who has begun can go on; what was given in memory stays because it is nowhere else.
 *
 * A read that is under way counts as if its bytes were there already. The budget is exceeded only by what is leased: where
 * leases leave no room, the bytes that are needed next are read all the same, one adapter at a time.
 */
import { LorikeetError } from '../errors.ts'
import { hostBytesOf } from './hostBytes.ts'
import type { HostAdapter } from './packing.ts'
import { readAgain } from './store.ts'
import type { AdapterVersion } from './version.ts'

/** Host memory cannot hold the adapter beside those that have to stay in it. */
export class AdapterMemoryFullError extends LorikeetError {
  readonly code = 'adapter_memory_full'
  override readonly status = 409
  override readonly param = 'lora_path'
}

export interface HostLimits {
  /** Most bytes of adapters in host memory. Default 1 GiB. */
  readonly maxBytes?: number
  /** Most adapters of different bytes. Default: any. */
  readonly maxAdapters?: number
}

const DEFAULT_BYTES = 1024 ** 3
/** Adapters read at once: enough to keep a disk busy, few enough to leave a core for the steps. */
const READERS = 4

interface Read {
  readonly done: Promise<void>
  readonly controller: AbortController
}

export class HostTier {
  readonly maxBytes: number
  readonly maxAdapters: number
  readonly #held = new Set<AdapterVersion>()
  readonly #reads = new Map<AdapterVersion, Read>()
  #bytes = 0

  constructor({ maxBytes = DEFAULT_BYTES, maxAdapters = Infinity }: HostLimits = {}) {
    this.maxBytes = maxBytes
    this.maxAdapters = maxAdapters
  }

  /** Adapters whose bytes are here or on their way here, and their bytes. */
  get size(): number {
    return this.#held.size + this.#reads.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get numReads(): number {
    return this.#reads.size
  }

  /** Whether its bytes are on their way here, or would be if fewer others were. */
  isReading(version: AdapterVersion): boolean {
    return this.#reads.has(version) || (version.adapter === null && this.#reads.size >= READERS)
  }

  /** @throws AdapterMemoryFullError when it could not be here even alone with what has to stay */
  checkRoom(adapter: Pick<HostAdapter, 'image' | 'byteLength'>): void {
    const staying = [...this.#held].filter(({ isFromMemory }) => isFromMemory)
    if (staying.length >= this.maxAdapters) {
      const message = `${staying.length} adapters were given in memory and have to stay there, as many as --max-cpu-loras allows. Unload one, or raise it.`
      throw new AdapterMemoryFullError(message)
    }
    const bytes = staying.reduce((sum, { hostBytes }) => sum + hostBytes, 0)
    const own = hostBytesOf(adapter)
    if (bytes + own > this.maxBytes) {
      const message = `The adapter takes ${own} bytes, and those that were given in memory take ${bytes} of the ${this.maxBytes} that --lora-host-memory allows. Unload one, or raise it.`
      throw new AdapterMemoryFullError(message)
    }
  }

  /** Takes bytes that were just read or made; others give way, or it does itself. */
  put(version: AdapterVersion, adapter: HostAdapter): void {
    if (this.#held.has(version)) return
    this.cancel(version)
    this.#hold(version, adapter)
    this.trim()
  }

  /**
   * Reads the bytes of a version that came from files; who asks again meanwhile shares the read, which also resolves when
   * it is cancelled. Null where there is no room for them now, unless they are the `next` to be needed.
   */
  read(version: AdapterVersion, isNext: boolean): Promise<void> | null {
    const under = this.#reads.get(version)
    if (under) return under.done
    if (this.#reads.size >= READERS || !(this.#makeRoom(version) || isNext)) return null
    return this.#begin(version)
  }

  /** The same at once, whatever else is being read and however full it is. */
  demand(version: AdapterVersion): Promise<void> {
    return this.#reads.get(version)?.done ?? this.#begin(version)
  }

  /** Nobody waits for these bytes any more. */
  cancel(version: AdapterVersion): void {
    const read = this.#reads.get(version)
    if (!read) return
    this.#end(version)
    read.controller.abort()
  }

  /** Forgets a version. */
  drop(version: AdapterVersion): void {
    this.cancel(version)
    if (!this.#held.delete(version)) return
    version.adapter = null
    this.#bytes -= version.hostBytes
  }

  /** A lease has ended or a name has gone: what had to stay for it may go. */
  trim(): void {
    while (this.#isFull(0, 0)) {
      const victim = this.#victim()
      if (!victim) return
      this.#giveUp(victim)
    }
  }

  /** Ends every read. */
  close(): void {
    for (const version of [...this.#reads.keys()]) this.cancel(version)
  }

  #begin(version: AdapterVersion): Promise<void> {
    const controller = new AbortController()
    const { signal } = controller
    const { name, digest, stores, usage, byteLength, hostBytes } = version
    const begunAt = performance.now()
    const done = readAgain(name, digest, stores, signal).then(
      (adapter) => {
        if (signal.aborted) return
        usage.wasRead(byteLength, performance.now() - begunAt)
        this.#end(version)
        this.#hold(version, adapter)
      },
      (error) => {
        if (signal.aborted) return
        usage.readFailures++
        this.#end(version)
        throw error
      },
    )
    // Whoever needs them waits for them; a rejection nobody waits for is not an accident.
    done.catch(() => undefined)
    this.#reads.set(version, { done, controller })
    this.#bytes += hostBytes
    this.trim()
    return done
  }

  #end(version: AdapterVersion): void {
    this.#reads.delete(version)
    this.#bytes -= version.hostBytes
  }

  #hold(version: AdapterVersion, adapter: HostAdapter): void {
    version.adapter = adapter
    this.#held.add(version)
    this.#bytes += version.hostBytes
  }

  #giveUp(version: AdapterVersion): void {
    version.usage.drops++
    this.drop(version)
  }

  /** False, and nothing is given up, where that would not be enough. */
  #makeRoom({ hostBytes }: AdapterVersion): boolean {
    const yielding = [...this.#held].filter(({ canBeReadAgain }) => canBeReadAgain)
    const bytes = yielding.reduce((sum, version) => sum + version.hostBytes, 0)
    if (this.#isFull(hostBytes - bytes, 1 - yielding.length)) return false
    while (this.#isFull(hostBytes, 1)) this.#giveUp(this.#victim()!)
    return true
  }

  /** With so many bytes and adapters more. */
  #isFull(bytes: number, adapters: number): boolean {
    return this.#bytes + bytes > this.maxBytes || this.size + adapters > this.maxAdapters
  }

  #victim(): AdapterVersion | null {
    let victim: AdapterVersion | null = null
    for (const version of this.#held) {
      if (version.canBeReadAgain && (!victim || goesBefore(version, victim))) victim = version
    }
    return victim
  }
}

/**
 * Which of two goes first. What is on the GPU goes last, since there it may have to give way at any time, even with its
 * generation preempted; what somebody asked to keep, after what nobody did.
 */
function goesBefore(one: AdapterVersion, other: AdapterVersion): boolean {
  if (one.keepers > 0 !== other.keepers > 0) return other.keepers > 0
  const isResident = one.slot !== null
  if (isResident !== (other.slot !== null)) return !isResident
  return one.lastUse < other.lastUse
}
