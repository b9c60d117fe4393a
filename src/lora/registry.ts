/**
 * Adapters by name. A name points to a version, identified by its content digest: the same bytes under two names are
 * one version, and replacing an adapter moves the name while running requests keep the version they leased.
 */
import type { LayerList } from '../model/layerList.ts'
import type { HostLimits, HostTier } from './hostTier.ts'
import { AdapterExistsError, AdapterNameError, checkForm, TooManyPinnedError } from './names.ts'
import type { HostAdapter } from './packing.ts'
import type { AdapterPool } from './pool.ts'
import { type Hold, Residency } from './residency.ts'
import type { AdapterStore } from './store.ts'
import { type AdapterUsage, unixSeconds } from './usage.ts'
import { AdapterVersion } from './version.ts'

/** Who brought an adapter: the program or its command line, a request, or the directory that is watched. */
export type AdapterOrigin = 'program' | 'request' | 'directory'

/** What is known of an adapter by its name. */
export interface AdapterRecord {
  readonly name: string
  /** Counts the names as they come; never given twice. What replaces an adapter keeps it. */
  readonly id: number
  /** Where it came from: a folder, a hub id or a URL. */
  readonly root: string
  readonly digest: string
  /** Unix time in seconds at which it was registered. */
  readonly created: number
  readonly origin: AdapterOrigin
  /** It is brought to the GPU at once, and leaves it only where nothing else can make room. */
  readonly pinned: boolean
}

export interface AddOptions {
  /** A name that is taken moves to the new bytes instead of being refused. */
  readonly replace?: boolean
  /** See AdapterRecord. Default: as what it replaces, else not. */
  readonly pinned?: boolean
  /** Default `program`. */
  readonly origin?: AdapterOrigin
  /** Where the bytes can be had again. Default: nowhere, so that they stay in host memory. */
  readonly store?: AdapterStore | null
}

/** Holds one version of an adapter: its bytes, and while it is pinned its slot. Satisfies the engine's AdapterLease. */
export interface RegistryLease extends Hold {
  readonly name: string
  readonly digest: string
  /** See NormalAdapter. */
  readonly invocation: readonly number[] | null
  readonly layers: LayerList | null
}

/** Holds the bytes of one version of an adapter in host memory. */
export interface AdapterHold {
  readonly digest: string
  /** Rejects where they cannot be read again. */
  readonly bytes: Promise<HostAdapter>
  /** A second call does nothing. */
  release(): void
}

/** A name that was taken away, and the generations that still run on what it stood for. */
export interface Leaving {
  readonly record: AdapterRecord
  /** Generations under way at that moment. */
  readonly leases: number
  /** Resolves when the last of them has ended. */
  readonly done: Promise<void>
}

/** Where an adapter is and what has become of it. Bytes are those of all its tensors. */
export interface AdapterStatus extends AdapterRecord {
  /** `leaving`: unloaded or replaced, while generations still finish on it. */
  readonly state: 'loaded' | 'leaving'
  /** The nearest to the step that has its bytes; `store` is where they came from. */
  readonly tier: AdapterVersion['tier']
  readonly rank: number
  readonly modules: number
  readonly kinds: AdapterVersion['facts']['kinds']
  readonly bytes: number
  /** Of these, the ones in host memory: all or none. */
  readonly hostBytes: number
  /** Generations that hold it now, and all that were ever started under this name. */
  readonly leases: number
  readonly requests: number
  /** Of its bytes, under whatever names. */
  readonly usage: AdapterUsage
  readonly evictions: number
}

/** See AdapterRegistry.planRoom. */
export interface RoomPlan {
  /** The names of each adapter that would have to leave, least recently used first. */
  readonly evicts: readonly (readonly string[])[]
  /** Even then there is not enough: it would wait until running generations end. */
  readonly waits: boolean
}

/** One set of bytes, and how many names it has. */
interface Holding {
  readonly version: AdapterVersion
  names: number
}

/** One name for one set of bytes, from the moment it is given until the last lease under it ends. */
interface Entry {
  readonly record: AdapterRecord
  readonly holding: Holding
  readonly store: AdapterStore | null
  leases: number
  requests: number
  /** Set when the name has been taken away. */
  left: (() => void) | null
}

export class AdapterRegistry {
  readonly residency: Residency
  readonly #pool: AdapterPool
  /** Bytes that the GPU has for adapters in all. */
  readonly capacityBytes: number
  readonly #reserved: ReadonlySet<string>
  readonly #names = new Map<string, Entry>()
  readonly #leaving = new Set<Entry>()
  readonly #holdings = new Map<string, Holding>()
  #numNames = 0
  #tellNameless: (digest: string) => void = () => undefined

  /** `reserved`: names of the base, which no adapter may take. */
  constructor(pool: AdapterPool, reserved: readonly string[], limits: HostLimits = {}) {
    this.#pool = pool
    this.capacityBytes = pool.freeBytes
    this.residency = new Residency(pool, limits)
    this.residency.onUnleased(({ digest }) => this.#dropIfUnused(digest))
    this.#reserved = new Set(reserved)
  }

  /** @throws AdapterNameError when an adapter may not have, or (unless to `replace` it) cannot now get, this name. */
  checkName(name: string, { replace = false }: AddOptions = {}): void {
    checkForm(name)
    if (this.#reserved.has(name)) throw new AdapterNameError(`"${name}" is the name of the base model.`, 409)
    if (!replace && this.#names.has(name)) throw new AdapterExistsError(name)
  }

  /**
   * Registers an adapter; it goes to the GPU when first used. With `replace` a name that is taken moves at once: who
   * leases it from now on gets the new bytes, who leased it before keeps the old ones.
   * @throws AdapterNameError, TooManyPinnedError, AdapterMemoryFullError
   */
  add(name: string, root: string, adapter: HostAdapter, options: AddOptions = {}): AdapterRecord {
    this.checkName(name, options)
    const before = this.#names.get(name)
    const { origin = 'program', pinned = before?.record.pinned ?? false, store = null } = options
    const { digest } = adapter
    if (pinned) this.#checkPins(name, digest)
    const known = this.#holdings.get(digest)
    if (!known || (!store && !known.version.isFromMemory)) this.host.checkRoom(adapter)
    const holding = known ?? { version: new AdapterVersion(name, adapter), names: 0 }
    this.#holdings.set(digest, holding)
    holding.names++
    if (store) holding.version.stores.add(store)
    else holding.version.numFromMemory++
    this.residency.put(holding.version, adapter)
    const id = before?.record.id ?? this.#numNames++
    const record = { name, id, root, digest, created: unixSeconds(), origin, pinned }
    this.#names.set(name, { record, holding, store, leases: 0, requests: before?.requests ?? 0, left: null })
    if (pinned) this.#keep(holding)
    if (before) this.#leave(before)
    return record
  }

  /** Takes the name away at once; the bytes go when the last generation that uses them has ended. Null if unknown. */
  unload(name: string): Leaving | null {
    const entry = this.#names.get(name)
    if (!entry) return null
    this.#names.delete(name)
    const { record, leases } = entry
    return { record, leases, done: this.#leave(entry) }
  }

  /** The same for those who do not wait. False if unknown. */
  remove(name: string): boolean {
    return this.unload(name) !== null
  }

  list(): readonly AdapterRecord[] {
    return [...this.#names.values()].map(({ record }) => record)
  }

  find(name: string): AdapterRecord | null {
    return this.#names.get(name)?.record ?? null
  }

  /** Every adapter that has a name, then those that lost it and are still in use. */
  status(): readonly AdapterStatus[] {
    return [...this.#names.values(), ...this.#leaving].map(statusOf)
  }

  /** Sets of bytes, wherever they are. */
  get numVersions(): number {
    return this.#holdings.size
  }

  /** Whether bytes with this digest are known, with a name or still in use. */
  holds(digest: string): boolean {
    return this.#holdings.has(digest)
  }

  get host(): HostTier {
    return this.residency.host
  }

  /** Of capacityBytes, what no adapter has. */
  get freeBytes(): number {
    return this.#pool.freeBytes
  }

  /** Adapters that were moved on the GPU so that others found room in one piece, and their bytes. */
  get moves(): AdapterPool['moves'] {
    return this.#pool.moves
  }

  /** Adapters on the GPU now. */
  get residentCount(): number {
    return this.residency.size
  }

  /**
   * What it would take to bring `bytes` with this digest to the GPU now; nothing is done. An estimate: what is under way
   * is taken for done.
   */
  planRoom(digest: string, bytes: number): RoomPlan {
    const resident = [...this.residency.resident]
    if (resident.some((version) => version.digest === digest)) return { evicts: [], waits: false }
    let { freeBytes } = this.#pool
    let freeSlots = this.#pool.maxSlots - resident.length
    const evicts: AdapterVersion[] = []
    const isEnough = (): boolean => freeSlots > 0 && freeBytes >= bytes
    const idle = resident.filter(({ isLeased }) => !isLeased).sort((a, b) => a.lastUse - b.lastUse)
    for (const version of idle) {
      if (isEnough()) break
      evicts.push(version)
      freeBytes += this.#pool.bytesOf(version.slot!)
      freeSlots++
    }
    return { evicts: evicts.map((version) => this.#namesOf(version)), waits: !isEnough() }
  }

  /** Holds the current version of an adapter and starts bringing it to the GPU; null if there is none of that name. */
  lease(name: string): RegistryLease | null {
    const entry = this.#names.get(name)
    if (!entry) return null
    const { version } = entry.holding
    const { digest, invocation = null, layers = null } = version.facts
    const hold = this.residency.acquire(version)
    return {
      name,
      digest,
      invocation,
      layers,
      get slot(): number | null {
        return hold.slot
      },
      get isRead(): boolean {
        return hold.isRead
      },
      get ready(): Promise<void> {
        return hold.ready
      },
      pin: () => hold.pin(),
      unpin: () => hold.unpin(),
      release: this.#use(entry, () => hold.release()),
    }
  }

  /**
   * Holds the bytes of the current version for a generation on what is made of them, and reads them where they are not in
   * host memory; null if there is none of that name.
   */
  hold(name: string): AdapterHold | null {
    const entry = this.#names.get(name)
    if (!entry) return null
    const { version } = entry.holding
    const { bytes, release } = this.residency.holdBytes(version)
    return { digest: version.digest, bytes, release: this.#use(entry, release) }
  }

  /** Whether the bytes with this digest can be asked for. */
  isNamed(digest: string): boolean {
    return (this.#holdings.get(digest)?.names ?? 0) > 0
  }

  /** `tell` learns of bytes that lose their last name. */
  onNameless(tell: (digest: string) => void): void {
    this.#tellNameless = tell
  }

  /** Nothing comes to the GPU any more. Resolves when nothing is on its way. */
  close(): Promise<void> {
    return this.residency.close()
  }

  /** Counts a generation under `entry`. What comes back ends it. */
  #use(entry: Entry, letGo: () => void): () => void {
    entry.leases++
    entry.requests++
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      entry.leases--
      letGo()
      if (entry.leases === 0) entry.left?.()
    }
  }

  /** A composition has none; its own says what it is. */
  #namesOf(version: AdapterVersion): string[] {
    const names = this.list().flatMap(({ name, digest }) => (digest === version.digest ? name : []))
    return names.length > 0 ? names : [version.name]
  }

  /** @throws TooManyPinnedError when pinning these bytes for `name` would leave no place for others */
  #checkPins(name: string, digest: string): void {
    const pinned = this.list().filter((record) => record.pinned && record.name !== name)
    const { maxSlots } = this.#pool
    if (new Set([digest, ...pinned.map((record) => record.digest)]).size >= maxSlots) {
      throw new TooManyPinnedError(name, maxSlots)
    }
  }

  /** Keeps a version on the GPU, and starts bringing it there. */
  #keep(holding: Holding): void {
    holding.version.keepers++
    const hold = this.residency.acquire(holding.version)
    void Promise.allSettled([hold.ready]).then(() => hold.release())
  }

  /** An entry whose name is gone: resolves when nothing leases it any more. */
  #leave(entry: Entry): Promise<void> {
    const { version } = entry.holding
    entry.holding.names--
    if (entry.holding.names === 0) this.#tellNameless(entry.record.digest)
    if (entry.record.pinned) version.keepers--
    if (entry.leases === 0) {
      this.#part(entry)
      return Promise.resolve()
    }
    this.#leaving.add(entry)
    return new Promise((resolve) => {
      entry.left = () => {
        this.#leaving.delete(entry)
        this.#part(entry)
        resolve()
      }
    })
  }

  /** Nobody runs under this entry any more: its bytes are no longer kept, or read, for its sake. */
  #part({ store, holding: { version } }: Entry): void {
    if (store) version.stores.delete(store)
    else version.numFromMemory--
    this.host.trim()
    this.#dropIfUnused(version.digest)
  }

  #dropIfUnused(digest: string): void {
    const holding = this.#holdings.get(digest)
    if (!holding || holding.names > 0 || holding.version.isLeased) return
    this.#holdings.delete(digest)
    this.residency.drop(holding.version)
  }
}

function statusOf({ record, holding, leases, requests, left }: Entry): AdapterStatus {
  const { version } = holding
  const { facts, slot, usage } = version
  return {
    ...record,
    state: left ? 'leaving' : 'loaded',
    tier: version.tier,
    rank: facts.maxRank,
    modules: facts.numModules,
    kinds: facts.kinds,
    bytes: facts.byteLength,
    hostBytes: version.adapter ? facts.hostBytes : 0,
    leases,
    requests,
    usage,
    evictions: usage.evictions(slot !== null),
  }
}
