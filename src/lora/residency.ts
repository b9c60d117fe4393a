/**
 * Which adapters are on the GPU. A version (one set of bytes) is brought in when it is first leased, so that it is there
 * when its request comes to run: read into host memory where it is not there (hostTier.ts), then uploaded. A lease alone
 * keeps the bytes in host memory, not the place on the GPU: only what a running sequence has pinned cannot be evicted, or
 * requests that wait for one adapter would keep out all others.
 *
 * Room goes by age. Of the versions whose bytes are there, the one with the oldest waiting lease is brought in first, and
 * what is not pinned gives way to it: first what nobody leases, least recently used first, then what only younger leases
 * wait for, the youngest first. Since that order is total and leases do not change their age, two adapters never evict each
 * other in turn. Reads ahead go by the same order.
 */
import { invariant, LorikeetError } from '../errors.ts'
import { type HostLimits, HostTier } from './hostTier.ts'
import type { HostAdapter } from './packing.ts'
import type { AdapterPool } from './pool.ts'
import type { AdapterVersion } from './version.ts'

/** What residency asks of the pool. */
export type AdapterRoom = Pick<AdapterPool, 'load' | 'unload'> & Partial<Pick<AdapterPool, 'expect'>>

/** The model is closed. */
export class AdaptersClosedError extends LorikeetError {
  readonly code = 'adapters_closed'
  override readonly status = 503

  constructor() {
    super('The model was closed while an adapter was on its way.')
  }
}

/** One holder of a version. */
export interface Hold {
  /** Slot while the version is resident; it stays the same only while pinned. */
  readonly slot: number | null
  /** Whether it waits for its bytes to be read, and not for a place on the GPU. */
  readonly isRead: boolean
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
  readonly host: HostTier
  readonly #pool: AdapterRoom
  readonly #resident = new Set<AdapterVersion>()
  /** Versions to bring in. */
  readonly #arrivals = new Map<AdapterVersion, Arrival>()
  /** The one that found no room when it was last tried. */
  #lacksRoom: AdapterVersion | null = null
  /** Counts leases and unpinnings: ages and times of use. */
  #clock = 0
  #isBringing = false
  #bringing: Promise<void> = Promise.resolve()
  /** Whether something has changed since the last look at who waits. */
  #isStirred = false
  readonly #closing = new AbortController()
  readonly #listeners: ((version: AdapterVersion) => void)[] = []

  constructor(pool: AdapterRoom, limits: HostLimits = {}) {
    this.#pool = pool
    this.host = new HostTier(limits)
  }

  /** Versions on the GPU now. */
  get size(): number {
    return this.#resident.size
  }

  get resident(): ReadonlySet<AdapterVersion> {
    return this.#resident
  }

  /** `tell` learns of each version that nothing leases any more. */
  onUnleased(tell: (version: AdapterVersion) => void): void {
    this.#listeners.push(tell)
  }

  /** Takes the bytes of a version that were just read or made into host memory. */
  put(version: AdapterVersion, adapter: HostAdapter): void {
    version.lastUse = ++this.#clock
    this.host.put(version, adapter)
    this.#pool.expect?.(adapter)
  }

  /**
   * Holds the bytes of a version in host memory, for who needs nothing else of it. Reads them at once if they are not there;
   * `bytes` rejects as `Hold.ready` does.
   */
  holdBytes(version: AdapterVersion): { readonly bytes: Promise<HostAdapter>; release(): void } {
    version.readers++
    version.lastUse = ++this.#clock
    let isHeld = true
    const bytes = version.adapter ? Promise.resolve(version.adapter) : this.#demand(version)
    bytes.catch(() => undefined)
    return {
      bytes,
      release: () => {
        if (!isHeld) return
        isHeld = false
        version.readers--
        if (!version.isLeased) this.#forget(version)
        this.#stir()
      },
    }
  }

  /** Holds `version` and starts bringing it in. `ready` rejects when it cannot be brought in at all. */
  acquire(version: AdapterVersion): Hold {
    const age = ++this.#clock
    const { host } = this
    let state: 'waiting' | 'pinned' | 'released' = 'waiting'
    version.usage.leased(version.slot !== null)
    this.#wait(version, age)
    return {
      get slot(): number | null {
        return version.slot
      },
      get isRead(): boolean {
        return host.isReading(version)
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

  /** A version that has lost its last name and its last lease: its bytes go from wherever they are. */
  drop(version: AdapterVersion): void {
    invariant(!version.isLeased, 'A leased adapter was dropped')
    this.evict(version)
    this.host.drop(version)
  }

  /** Nothing comes any more; what is on its way is told so. Resolves when the pool is left alone. */
  async close(): Promise<void> {
    const reason = new AdaptersClosedError()
    this.#closing.abort(reason)
    this.host.close()
    for (const { reject } of this.#arrivals.values()) reject(reason)
    this.#arrivals.clear()
    await this.#bringing
  }

  /** Takes a version that nothing pins off the GPU. Leases that wait for it make it come again. */
  evict(version: AdapterVersion): void {
    invariant(version.pins === 0, 'A pinned adapter was evicted')
    if (version.slot === null) return
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
    this.host.cancel(version)
    this.host.trim()
    for (const tell of this.#listeners) tell(version)
  }

  async #demand(version: AdapterVersion): Promise<HostAdapter> {
    await this.host.demand(version)
    if (!version.adapter) throw new AdaptersClosedError() // or nobody holds it any more
    return version.adapter
  }

  /**
   * Something may have changed. Room for who lacks it is made at once: what is unpinned and has to go is gone before
   * anybody can pin it anew.
   */
  #stir(): void {
    const victim = this.#lacksRoom && this.#victimFor(this.#lacksRoom)
    if (victim) this.evict(victim)
    this.#isStirred = true
    if (!this.#isBringing) this.#bringing = this.#bringIn()
  }

  /** Brings in who waits, the oldest first, until one finds no room. One run at a time. */
  async #bringIn(): Promise<void> {
    this.#isBringing = true
    while (this.#isStirred && !this.#closing.signal.aborted) {
      this.#isStirred = false
      this.#readAhead()
      for (let next = this.#oldest(HAS_BYTES); next && next !== this.#lacksRoom; next = this.#oldest(HAS_BYTES)) {
        try {
          if (!(await this.#load(next))) break
          this.#arrivals.get(next)?.resolve()
        } catch (error) {
          this.#arrivals.get(next)?.reject(error)
        }
        this.#arrivals.delete(next)
        this.#readAhead()
      }
    }
    this.#isBringing = false
  }

  /** Reads for who waits, the oldest first, as many as host memory allows; for the very oldest in any case. */
  #readAhead(): void {
    for (;;) {
      const next = this.#oldest((version) => !version.adapter && !this.host.isReading(version))
      const reading = next && this.host.read(next, next === this.#oldest(() => true))
      if (!next || !reading) return
      reading.then(
        () => {
          if (next.adapter) this.#pool.expect?.(next.adapter)
          this.#stir()
        },
        (error) => {
          this.#arrivals.get(next)?.reject(error)
          this.#arrivals.delete(next)
          this.#stir()
        },
      )
    }
  }

  /** Of those to bring in. */
  #oldest(isMeant: (version: AdapterVersion) => boolean): AdapterVersion | null {
    let oldest: AdapterVersion | null = null
    for (const version of this.#arrivals.keys()) {
      if ((!oldest || version.need < oldest.need) && isMeant(version)) oldest = version
    }
    return oldest
  }

  /** False when the pool is full of what may not be evicted for it. Its bytes stay for as long as it takes. */
  async #load(version: AdapterVersion): Promise<boolean> {
    const { adapter } = version
    version.readers++
    try {
      for (;;) {
        const begunAt = performance.now()
        const slot = await this.#pool.load(version.name, adapter!, this.#closing.signal)
        if (slot !== null) {
          version.slot = slot
          this.#resident.add(version)
          version.usage.arrived(version.byteLength, performance.now() - begunAt)
          return true
        }
        this.#lacksRoom = version
        const victim = this.#victimFor(version)
        if (!victim) return false
        this.evict(victim)
      }
    } finally {
      version.readers--
      if (!version.isLeased) this.#forget(version)
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

const HAS_BYTES = ({ adapter }: AdapterVersion): boolean => adapter !== null
