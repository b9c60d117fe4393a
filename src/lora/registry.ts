/**
 * Adapters by name. A name points to a version, identified by its content digest: the same bytes under two names are
 * one version, and replacing an adapter moves the name while running requests keep the version they leased.
 */
import { LorikeetError } from '../errors.ts'
import type { LayerList } from '../model/layerList.ts'
import type { NormalAdapter } from './normal.ts'
import type { AdapterPool } from './pool.ts'
import { AdapterVersion, type Hold, Residency } from './residency.ts'
import { type AdapterUsage, unixSeconds } from './usage.ts'

/** The name is taken, or is not one an adapter may have. */
export class AdapterNameError extends LorikeetError {
  readonly code: string = 'adapter_name'
  override readonly param = 'lora_name'
  override readonly status: number

  constructor(message: string, status = 400) {
    super(message)
    this.status = status
  }
}

/** An adapter of this name is there already, and was not to be replaced. */
export class AdapterExistsError extends AdapterNameError {
  override readonly code = 'adapter_exists'

  constructor(name: string) {
    super(`The lora adapter '${name}' has already been loaded.`, 409)
  }
}

/** So many adapters are pinned that another would leave no place for the rest. */
export class TooManyPinnedError extends LorikeetError {
  readonly code = 'too_many_pinned'
  override readonly param = 'pinned'

  constructor(name: string, maxSlots: number) {
    super(
      `'${name}' cannot be pinned: of the ${maxSlots} adapters that the GPU holds at once, one place stays free for those that are not. Load it unpinned, or raise --max-loras.`,
    )
  }
}

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
}

/** Holds one version of an adapter: its bytes, and while it is pinned its slot. Satisfies the engine's AdapterLease. */
export interface RegistryLease extends Hold {
  readonly name: string
  readonly digest: string
  /** See NormalAdapter. */
  readonly invocation: readonly number[] | null
  readonly layers: LayerList | null
}

/** Holds the bytes of one version of an adapter, wherever they are, for what is made of them. */
export interface AdapterHold {
  readonly adapter: NormalAdapter
  readonly digest: string
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
  readonly tier: 'gpu' | 'host'
  readonly rank: number
  readonly modules: number
  readonly bytes: number
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

/** One set of bytes, how many names it has, and generations that run on it or on what is made of it. */
interface Holding {
  readonly version: AdapterVersion
  names: number
  leases: number
}

/** One name for one set of bytes, from the moment it is given until the last lease under it ends. */
interface Entry {
  readonly record: AdapterRecord
  readonly holding: Holding
  leases: number
  requests: number
  /** Set when the name has been taken away. */
  left: (() => void) | null
}

/** 1 to 128 of letters, digits and ._-/@, no leading dot. */
const NAME = /^[A-Za-z0-9_\-/@][A-Za-z0-9._\-/@]{0,127}$/

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
  constructor(pool: AdapterPool, reserved: readonly string[]) {
    this.#pool = pool
    this.capacityBytes = pool.freeBytes
    this.residency = new Residency(pool)
    this.#reserved = new Set(reserved)
  }

  /** @throws AdapterNameError when an adapter may not have, or (unless to `replace` it) cannot now get, this name. */
  checkName(name: string, { replace = false }: AddOptions = {}): void {
    if (!NAME.test(name)) {
      throw new AdapterNameError(
        `"${name.slice(0, 140)}" cannot name an adapter: use 1 to 128 letters, digits and . _ - / @, without a leading dot.`,
      )
    }
    if (this.#reserved.has(name)) throw new AdapterNameError(`"${name}" is the name of the base model.`, 409)
    if (!replace && this.#names.has(name)) throw new AdapterExistsError(name)
  }

  /**
   * Registers an adapter; it goes to the GPU when first used. With `replace` a name that is taken moves at once: who
   * leases it from now on gets the new bytes, who leased it before keeps the old ones.
   * @throws AdapterNameError, TooManyPinnedError
   */
  add(name: string, root: string, adapter: NormalAdapter, options: AddOptions = {}): AdapterRecord {
    this.checkName(name, options)
    const before = this.#names.get(name)
    const { origin = 'program', pinned = before?.record.pinned ?? false } = options
    if (pinned) this.#checkPins(name, adapter.digest)
    const holding = this.#holdings.get(adapter.digest) ?? {
      version: new AdapterVersion(name, adapter),
      names: 0,
      leases: 0,
    }
    this.#holdings.set(adapter.digest, holding)
    holding.names++
    const id = before?.record.id ?? this.#numNames++
    const record = { name, id, root, digest: adapter.digest, created: unixSeconds(), origin, pinned }
    this.#names.set(name, { record, holding, leases: 0, requests: before?.requests ?? 0, left: null })
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

  /** Sets of bytes in host memory, and their bytes. */
  get numVersions(): number {
    return this.#holdings.size
  }

  get hostBytes(): number {
    let bytes = 0
    for (const { version } of this.#holdings.values()) bytes += version.adapter.byteLength
    return bytes
  }

  /** Whether the bytes with this digest are in host memory. */
  holds(digest: string): boolean {
    return this.#holdings.has(digest)
  }

  /** Of capacityBytes, what no adapter has. */
  get freeBytes(): number {
    return this.#pool.freeBytes
  }

  /** Adapters on the GPU now. */
  get residentCount(): number {
    return this.residency.size
  }

  /**
   * What it would take to bring `adapter` to the GPU now; nothing is done. `bytesOf` says what one takes there. An
   * estimate: room is counted in bytes, and what is free may lie in pieces.
   */
  planRoom(adapter: NormalAdapter, bytesOf: (adapter: NormalAdapter) => number): RoomPlan {
    const resident = [...this.residency.resident]
    const { freeBytes, maxSlots } = this.#pool
    if (resident.some((version) => version.adapter.digest === adapter.digest)) return { evicts: [], waits: false }
    let bytes = freeBytes
    let slots = maxSlots - resident.length
    const evicts: AdapterVersion[] = []
    const isEnough = (): boolean => slots > 0 && bytes >= bytesOf(adapter)
    const idle = resident.filter(({ isLeased }) => !isLeased).sort((a, b) => a.lastUse - b.lastUse)
    for (const version of idle) {
      if (isEnough()) break
      evicts.push(version)
      bytes += bytesOf(version.adapter)
      slots++
    }
    return { evicts: evicts.map((version) => this.#namesOf(version)), waits: !isEnough() }
  }

  /** Holds the current version of an adapter and starts bringing it to the GPU; null if there is none of that name. */
  lease(name: string): RegistryLease | null {
    const entry = this.#names.get(name)
    if (!entry) return null
    const { version } = entry.holding
    const { digest, invocation = null, layers = null } = version.adapter
    const hold = this.residency.acquire(version)
    return {
      name,
      digest,
      invocation,
      layers,
      get slot(): number | null {
        return hold.slot
      },
      get ready(): Promise<void> {
        return hold.ready
      },
      pin: () => hold.pin(),
      unpin: () => hold.unpin(),
      release: this.#use(entry, () => hold.release()),
    }
  }

  /** Holds the bytes of the current version for a generation on what is made of them; null if there is none of that name. */
  hold(name: string): AdapterHold | null {
    const entry = this.#names.get(name)
    if (!entry) return null
    const { adapter } = entry.holding.version
    return { adapter, digest: adapter.digest, release: this.#use(entry) }
  }

  /** Whether the bytes with this digest can be asked for. */
  isNamed(digest: string): boolean {
    return (this.#holdings.get(digest)?.names ?? 0) > 0
  }

  /** `tell` learns of bytes that lose their last name. */
  onNameless(tell: (digest: string) => void): void {
    this.#tellNameless = tell
  }

  close(): void {
    this.#pool.close()
  }

  /** Counts a generation under `entry`. What comes back ends it. */
  #use(entry: Entry, letGo: () => void = () => undefined): () => void {
    const { holding } = entry
    entry.leases++
    entry.requests++
    holding.leases++
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      letGo()
      entry.leases--
      holding.leases--
      this.#dropIfUnused(holding)
      if (entry.leases === 0) entry.left?.()
    }
  }

  /** A composition has none; its own says what it is. */
  #namesOf(version: AdapterVersion): string[] {
    const names = this.list().flatMap(({ name, digest }) => (digest === version.adapter.digest ? name : []))
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
    void Promise.allSettled([hold.ready]).then(() => {
      hold.release()
      this.#dropIfUnused(holding)
    })
  }

  /** An entry whose name is gone: resolves when nothing leases it any more. */
  #leave(entry: Entry): Promise<void> {
    entry.holding.names--
    if (entry.holding.names === 0) this.#tellNameless(entry.record.digest)
    if (entry.record.pinned) entry.holding.version.keepers--
    this.#dropIfUnused(entry.holding)
    if (entry.leases === 0) return Promise.resolve()
    this.#leaving.add(entry)
    return new Promise((resolve) => {
      entry.left = () => {
        this.#leaving.delete(entry)
        resolve()
      }
    })
  }

  #dropIfUnused({ names, leases, version }: Holding): void {
    if (names > 0 || leases > 0 || version.isLeased) return
    this.residency.evict(version)
    this.#holdings.delete(version.adapter.digest)
  }
}

function statusOf({ record, holding, leases, requests, left }: Entry): AdapterStatus {
  const { adapter, slot, usage } = holding.version
  return {
    ...record,
    state: left ? 'leaving' : 'loaded',
    tier: slot === null ? 'host' : 'gpu',
    rank: adapter.maxRank,
    modules: adapter.modules.length,
    bytes: adapter.byteLength,
    leases,
    requests,
    usage,
    evictions: usage.evictions(slot !== null),
  }
}
