/**
 * Adapters by name. A name points to a version, identified by its content digest: the same bytes under two names are
 * one version, and replacing an adapter moves the name while running requests keep the version they leased.
 */
import { LorikeetError } from '../errors.ts'
import type { NormalAdapter } from './normal.ts'
import type { AdapterPool } from './pool.ts'
import { AdapterVersion, Residency } from './residency.ts'

/** The name is taken, or is not one an adapter may have. */
export class AdapterNameError extends LorikeetError {
  readonly code = 'adapter_name'
  override readonly param = 'lora_name'
  override readonly status: number

  constructor(message: string, status = 400) {
    super(message)
    this.status = status
  }
}

/** What is known of an adapter by its name. */
export interface AdapterRecord {
  readonly name: string
  /** Where it came from: a folder, a hub id or a URL. */
  readonly root: string
  readonly digest: string
  /** Unix time in seconds at which it was registered. */
  readonly created: number
}

/** Keeps one version of an adapter from being evicted. Satisfies the engine's AdapterLease. */
export interface RegistryLease {
  readonly name: string
  readonly digest: string
  readonly slot: number | null
  readonly ready: Promise<void>
  release(): void
}

/** 1 to 128 of letters, digits and ._-/@, no leading dot. */
const NAME = /^[A-Za-z0-9_\-/@][A-Za-z0-9._\-/@]{0,127}$/

export class AdapterRegistry {
  readonly #residency: Residency
  readonly #pool: AdapterPool
  readonly #reserved: ReadonlySet<string>
  readonly #names = new Map<string, { readonly record: AdapterRecord; readonly version: AdapterVersion }>()
  readonly #versions = new Map<string, AdapterVersion>()

  /** `reserved`: names of the base, which no adapter may take. */
  constructor(pool: AdapterPool, reserved: readonly string[]) {
    this.#pool = pool
    this.#residency = new Residency(pool)
    this.#reserved = new Set(reserved)
  }

  /** @throws AdapterNameError when an adapter may not have, or cannot now get, this name. */
  checkName(name: string): void {
    if (!NAME.test(name)) {
      throw new AdapterNameError(
        `"${name.slice(0, 140)}" cannot name an adapter: use 1 to 128 letters, digits and . _ - / @, without a leading dot.`,
      )
    }
    if (this.#reserved.has(name)) throw new AdapterNameError(`"${name}" is the name of the base model.`, 409)
    if (this.#names.has(name)) {
      throw new AdapterNameError(`The lora adapter '${name}' has already been loaded.`, 409)
    }
  }

  /** Registers an adapter; it goes to the GPU when first used. @throws AdapterNameError */
  add(name: string, root: string, adapter: NormalAdapter): AdapterRecord {
    this.checkName(name)
    const version = this.#versions.get(adapter.digest) ?? new AdapterVersion(name, adapter)
    this.#versions.set(adapter.digest, version)
    const record = { name, root, digest: adapter.digest, created: Math.floor(Date.now() / 1000) }
    this.#names.set(name, { record, version })
    return record
  }

  /** Takes the name away at once; the bytes go when the last request that uses them has ended. False if unknown. */
  remove(name: string): boolean {
    const entry = this.#names.get(name)
    if (!entry) return false
    this.#names.delete(name)
    this.#dropIfUnused(entry.version)
    return true
  }

  list(): readonly AdapterRecord[] {
    return [...this.#names.values()].map(({ record }) => record)
  }

  /** Adapters on the GPU now. */
  get residentCount(): number {
    return this.#residency.size
  }

  /** Holds the current version of an adapter and starts bringing it to the GPU; null if there is none of that name. */
  lease(name: string): RegistryLease | null {
    const version = this.#names.get(name)?.version
    if (!version) return null
    const { ready } = this.#residency.acquire(version)
    let held = true
    return {
      name,
      digest: version.adapter.digest,
      get slot(): number | null {
        return version.slot
      },
      ready,
      release: () => {
        if (!held) return
        held = false
        this.#residency.release(version)
        this.#dropIfUnused(version)
      },
    }
  }

  close(): void {
    this.#pool.close()
  }

  #dropIfUnused(version: AdapterVersion): void {
    if (version.leases > 0 || [...this.#names.values()].some((entry) => entry.version === version)) return
    this.#residency.evict(version)
    this.#versions.delete(version.adapter.digest)
  }
}
