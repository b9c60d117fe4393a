/**
 * Which adapters are on the GPU. A version (one set of bytes) is brought in when it is first leased, stays while
 * anything leases it, and makes room for others, least recently used first, when nothing does. Versions that find no
 * room wait in order; they are tried again whenever a lease ends.
 */
import { invariant } from '../errors.ts'
import type { NormalAdapter } from './normal.ts'
import type { AdapterPool } from './pool.ts'

/** What residency asks of the pool. */
export type AdapterRoom = Pick<AdapterPool, 'load' | 'unload'>

/** One set of adapter bytes in host memory, and where it is on the GPU. */
export class AdapterVersion {
  readonly adapter: NormalAdapter
  /** For messages: the name it was first loaded under. */
  readonly name: string
  /** Slot in the pool while it is resident. */
  slot: number | null = null
  leases = 0
  /** When it was last leased, in leases since the start. */
  lastUse = 0

  constructor(name: string, adapter: NormalAdapter) {
    this.name = name
    this.adapter = adapter
  }
}

interface Waiting {
  readonly version: AdapterVersion
  readonly arrived: () => void
  readonly failed: (error: unknown) => void
}

export class Residency {
  readonly #pool: AdapterRoom
  readonly #resident = new Set<AdapterVersion>()
  readonly #arrivals = new Map<AdapterVersion, Promise<void>>()
  readonly #waiting: Waiting[] = []
  #uses = 0
  #bringing = false

  constructor(pool: AdapterRoom) {
    this.#pool = pool
  }

  /** Versions on the GPU now. */
  get size(): number {
    return this.#resident.size
  }

  /** Holds `version` and starts bringing it in. `ready` settles when it is resident, or rejects when it cannot be. */
  acquire(version: AdapterVersion): { readonly ready: Promise<void> } {
    version.leases++
    version.lastUse = ++this.#uses
    if (version.slot !== null) return { ready: Promise.resolve() }
    let ready = this.#arrivals.get(version)
    if (!ready) {
      ready = new Promise<void>((arrived, failed) => this.#waiting.push({ version, arrived, failed }))
      this.#arrivals.set(version, ready)
      // Whoever leases waits for it through the lease; a rejection nobody waits for is not an accident.
      ready.catch(() => undefined)
      void this.#bringIn()
    }
    return { ready }
  }

  release(version: AdapterVersion): void {
    invariant(version.leases > 0, 'An adapter lease was released twice')
    version.leases--
    if (version.leases === 0) void this.#bringIn()
  }

  /** Takes a version off the GPU, which nothing may lease. */
  evict(version: AdapterVersion): void {
    invariant(version.leases === 0, 'A leased adapter was evicted')
    if (version.slot === null) return
    this.#pool.unload(version.slot)
    version.slot = null
    this.#resident.delete(version)
  }

  /** Brings in who waits, one after the other, until one finds no room. One run at a time. */
  async #bringIn(): Promise<void> {
    if (this.#bringing) return
    this.#bringing = true
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const { version, arrived, failed } = next
      try {
        // A request that has gone while its adapter waited leaves nothing to bring in.
        if (version.leases > 0 && !(await this.#load(version))) break
        arrived()
      } catch (error) {
        failed(error)
      }
      this.#waiting.shift()
      this.#arrivals.delete(version)
    }
    this.#bringing = false
  }

  /** False when the pool is full of adapters in use. */
  async #load(version: AdapterVersion): Promise<boolean> {
    for (;;) {
      const slot = await this.#pool.load(version.name, version.adapter)
      if (slot !== null) {
        version.slot = slot
        this.#resident.add(version)
        return true
      }
      const victim = this.#leastRecentlyUsed()
      if (!victim) return false
      this.evict(victim)
    }
  }

  #leastRecentlyUsed(): AdapterVersion | null {
    let oldest: AdapterVersion | null = null
    for (const version of this.#resident) {
      if (version.leases === 0 && (!oldest || version.lastUse < oldest.lastUse)) oldest = version
    }
    return oldest
  }
}
