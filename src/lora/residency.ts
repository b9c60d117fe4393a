/**
 * Which adapters are on the GPU. A version (one set of bytes) is brought in when it is first leased, so that it is there
 * when its request comes to run. A lease alone keeps the bytes in host memory, not the place on the GPU: only what a
 * running sequence has pinned cannot be evicted, or requests that wait for one adapter would keep out all others.
 *
 * Room goes by age. The version with the oldest waiting lease is brought in first, and what is not pinned gives way to
 * it: first what nobody leases, least recently used first, then what only younger leases wait for, the youngest first.
 * Since that order is total and leases do not change their age, two adapters never evict each other in turn.
 */
import { invariant } from '../errors.ts'
import type { NormalAdapter } from './normal.ts'
import type { AdapterPool } from './pool.ts'
import { AdapterUsage } from './usage.ts'

/** What residency asks of the pool. */
export type AdapterRoom = Pick<AdapterPool, 'load' | 'unload'>

/** One set of adapter bytes in host memory, and where it is on the GPU. */
export class AdapterVersion {
  readonly adapter: NormalAdapter
  /** For messages: the name it was first loaded under. */
  readonly name: string
  /** Slot in the pool while it is resident. */
  slot: number | null = null
  /** Settles with the latest attempt to bring it in. */
  arrival: Promise<void> = Promise.resolve()
  /** Leases that hold it in its slot. */
  pins = 0
  /** Ages of the leases that wait: smaller is older. */
  readonly waiting: Set<number> = new Set()
  /** When it was last leased or unpinned. */
  lastUse = 0
  /** Names whose owners asked for it to stay: it gives way only where nothing else does. */
  keepers = 0
  readonly usage: AdapterUsage = new AdapterUsage()

  constructor(name: string, adapter: NormalAdapter) {
    this.name = name
    this.adapter = adapter
  }

  /** Whether anything holds its bytes. */
  get isLeased(): boolean {
    return this.pins > 0 || this.waiting.size > 0
  }

  /** Age of its oldest waiting lease; Infinity without one. */
  get need(): number {
    let oldest = Infinity
    for (const age of this.waiting) oldest = Math.min(oldest, age)
    return oldest
  }
}

/** One holder of a version. */
export interface Hold {
  /** Slot while the version is resident; it stays the same only while pinned. */
  readonly slot: number | null
  /** Settles with the latest attempt to bring it in. */
  readonly ready: Promise<void>
  /** Keeps the version, which must be resident, in its slot. */
  pin(): void
  unpin(): void
  /** Lets go, pinned or not. A second call does nothing. */
  release(): void
}

interface Arrival {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class Residency {
  readonly #pool: AdapterRoom
  readonly #resident = new Set<AdapterVersion>()
  /** Versions to bring in. */
  readonly #arrivals = new Map<AdapterVersion, Arrival>()
  /** The one on its way, and whether it was evicted before it arrived. */
  #coming: { readonly version: AdapterVersion; isUnwanted: boolean } | null = null
  /** The one that found no room when it was last tried. */
  #lacksRoom: AdapterVersion | null = null
  /** Counts leases and unpinnings: ages and times of use. */
  #clock = 0
  #isBringing = false
  /** Whether something has changed since the last look at who waits. */
  #isStirred = false

  constructor(pool: AdapterRoom) {
    this.#pool = pool
  }

  /** Versions on the GPU now. */
  get size(): number {
    return this.#resident.size
  }

  get resident(): ReadonlySet<AdapterVersion> {
    return this.#resident
  }

  /** Holds `version` and starts bringing it in. `ready` rejects when it cannot be brought in at all. */
  acquire(version: AdapterVersion): Hold {
    const age = ++this.#clock
    let state: 'waiting' | 'pinned' | 'released' = 'waiting'
    version.usage.leased(version.slot !== null)
    this.#wait(version, age)
    return {
      get slot(): number | null {
        return version.slot
      },
      get ready(): Promise<void> {
        return version.arrival
      },
      pin: () => {
        invariant(state === 'waiting' && version.slot !== null, `Adapter "${version.name}" cannot be pinned now`)
        version.waiting.delete(age)
        version.pins++
        state = 'pinned'
      },
      unpin: () => {
        invariant(state === 'pinned', `Adapter "${version.name}" is unpinned, and was not pinned`)
        version.pins--
        state = 'waiting'
        this.#wait(version, age)
      },
      release: () => {
        if (state === 'released') return
        if (state === 'pinned') version.pins--
        version.waiting.delete(age)
        state = 'released'
        if (!version.isLeased) this.#forget(version)
        this.#stir()
      },
    }
  }

  /** Takes a version that nothing pins off the GPU. Leases that wait for it make it come again. */
  evict(version: AdapterVersion): void {
    invariant(version.pins === 0, 'A pinned adapter was evicted')
    if (version.slot === null) {
      if (this.#coming?.version === version) this.#coming.isUnwanted = true
      return
    }
    this.#pool.unload(version.slot)
    version.slot = null
    this.#resident.delete(version)
    this.#lacksRoom = null
    if (version.isLeased) this.#expect(version)
    this.#stir()
  }

  #wait(version: AdapterVersion, age: number): void {
    version.waiting.add(age)
    version.lastUse = ++this.#clock
    if (version.slot === null && !this.#arrivals.has(version)) this.#expect(version)
    this.#stir()
  }

  #expect(version: AdapterVersion): void {
    version.usage.expected()
    version.arrival = new Promise<void>((resolve, reject) => this.#arrivals.set(version, { resolve, reject }))
    // Whoever leases waits for it through the lease; a rejection nobody waits for is not an accident.
    version.arrival.catch(() => undefined)
  }

  /** Nobody waits any more. */
  #forget(version: AdapterVersion): void {
    if (this.#lacksRoom === version) this.#lacksRoom = null
    this.#arrivals.get(version)?.resolve()
    this.#arrivals.delete(version)
  }

  /**
   * Something may have changed. Room for who lacks it is made at once: what is unpinned and has to go is gone before
   * anybody can pin it anew.
   */
  #stir(): void {
    const victim = this.#lacksRoom && this.#victimFor(this.#lacksRoom)
    if (victim) this.evict(victim)
    this.#isStirred = true
    if (!this.#isBringing) void this.#bringIn()
  }

  /** Brings in who waits, the oldest first, until one finds no room. One run at a time. */
  async #bringIn(): Promise<void> {
    this.#isBringing = true
    while (this.#isStirred) {
      this.#isStirred = false
      for (let next = this.#oldestAbsent(); next && next !== this.#lacksRoom; next = this.#oldestAbsent()) {
        try {
          if (!(await this.#load(next))) break
          this.#arrivals.get(next)?.resolve()
        } catch (error) {
          this.#arrivals.get(next)?.reject(error)
        }
        this.#arrivals.delete(next)
      }
    }
    this.#isBringing = false
  }

  #oldestAbsent(): AdapterVersion | null {
    let oldest: AdapterVersion | null = null
    for (const version of this.#arrivals.keys()) if (!oldest || version.need < oldest.need) oldest = version
    return oldest
  }

  /** False when the pool is full of what may not be evicted for it. */
  async #load(version: AdapterVersion): Promise<boolean> {
    for (;;) {
      const coming = { version, isUnwanted: false }
      this.#coming = coming
      const slot = await this.#pool.load(version.name, version.adapter)
      this.#coming = null
      if (slot !== null) {
        version.slot = slot
        this.#resident.add(version)
        version.usage.arrived()
        if (coming.isUnwanted && !version.isLeased) this.evict(version)
        return true
      }
      this.#lacksRoom = version
      const victim = this.#victimFor(version)
      if (!victim) return false
      this.evict(victim)
    }
  }

  /** What gives way to `version`, or null. */
  #victimFor(version: AdapterVersion): AdapterVersion | null {
    let victim: AdapterVersion | null = null
    for (const other of this.#resident) {
      if (other.pins > 0 || other.need <= version.need) continue
      if (!victim || givesWayBefore(other, victim)) victim = other
    }
    return victim
  }
}

/** Which of two goes first, where either may. */
function givesWayBefore(one: AdapterVersion, other: AdapterVersion): boolean {
  const isKept = one.keepers > 0
  if (isKept !== other.keepers > 0) return !isKept
  return one.need > other.need || (one.need === other.need && one.lastUse < other.lastUse)
}
