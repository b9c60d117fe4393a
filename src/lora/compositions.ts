/**
 * The compositions that requests ask for. One is made when it is first leased, and shared by all who name the same
 * adapters with the same weights. Its bytes are its parts', which are held in host memory, or read into it, for as long as
 * somebody leases it, so what was begun ends on the bytes it began with; between leases it stays on the GPU as any adapter
 * does, until it has to leave, or until a part loses its last name: then nobody can ask for it again.
 */
import type { ModelSpec } from '../model/spec.ts'
import { part } from '../part.ts'
import type { AdapterWeight, WeightedAdapter } from './composition.ts'
import { AdapterRefusedError } from './errors.ts'
import type { AdapterHold, AdapterRegistry, RegistryLease } from './registry.ts'
import { AdapterVersion } from './version.ts'

export interface CompositionsOptions {
  readonly registry: AdapterRegistry
  readonly spec: ModelSpec
  /** Higher ranks, all parts together, are refused. */
  readonly maxRank: number
}

interface Composition {
  readonly version: AdapterVersion
  /** Of its parts. */
  readonly digests: ReadonlySet<string>
}

/** How adapters are summed: loaded when the first two are. */
type Sums = typeof import('./composition.ts')

type HeldAdapter = AdapterHold & AdapterWeight
type ReadAdapter = HeldAdapter & WeightedAdapter

export class Compositions {
  readonly #registry: AdapterRegistry
  readonly #spec: ModelSpec
  readonly #maxRank: number
  readonly #made = new Map<string, Composition>()

  constructor({ registry, spec, maxRank }: CompositionsOptions) {
    this.#registry = registry
    this.#spec = spec
    this.#maxRank = maxRank
    registry.onNameless((digest) => {
      for (const [key, { digests }] of this.#made) if (digests.has(digest)) this.#dropIfUnused(key)
    })
    registry.residency.onUnleased(({ digest }) => this.#dropIfUnused(digest))
  }

  /** Compositions that are leased or on the GPU. */
  get size(): number {
    return this.#made.size
  }

  /**
   * Holds the sum of the adapters' current versions, each at least once leased itself by it, and starts bringing it to the
   * GPU; null if one of them is not there. Resolves when their bytes are in host memory.
   * @throws AdapterRefusedError when they have no sum here, or not one that fits; AdapterLostError
   */
  async lease(weights: readonly AdapterWeight[]): Promise<RegistryLease | null> {
    const sums = await sumsOfAdapters()
    const terms = this.#hold(sums, weights)
    if (!terms) return null
    const letGo = (): void => {
      for (const term of terms) term.release()
    }
    const digest = sums.compositionDigest(terms)
    let composition: Composition
    try {
      const read = await readAll(terms)
      composition = this.#made.get(digest) ?? this.#make(sums, digest, read)
      composition.version.adapter ??= sums.compose(digest, read, this.#maxRank)
    } catch (error) {
      letGo()
      throw error
    }
    this.#made.set(digest, composition)
    const { version } = composition
    const hold = this.#registry.residency.acquire(version)
    let held = true
    return {
      name: sums.compositionName(terms),
      digest,
      invocation: version.facts.invocation ?? null,
      layers: version.facts.layers ?? null,
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
      release: () => {
        if (!held) return
        held = false
        hold.release()
        letGo()
      },
    }
  }

  /** Whether they have a sum that fits; nothing is kept. @throws what lease throws */
  async check(weights: readonly AdapterWeight[]): Promise<void> {
    const sums = await sumsOfAdapters()
    const terms = this.#hold(sums, weights) ?? []
    try {
      const digest = sums.compositionDigest(terms)
      if (terms.length > 0 && !this.#made.has(digest)) this.#make(sums, digest, await readAll(terms))
    } finally {
      for (const term of terms) term.release()
    }
  }

  /** All or none. */
  #hold({ inOrder }: Sums, weights: readonly AdapterWeight[]): readonly HeldAdapter[] | null {
    const held: HeldAdapter[] = []
    for (const { name, scale } of weights) {
      const hold = this.#registry.hold(name)
      if (hold) {
        held.push({ ...hold, name, scale })
        continue
      }
      for (const each of held) each.release()
      return null
    }
    return inOrder(held)
  }

  #make({ compose, compositionName, gpuBytesOf }: Sums, digest: string, terms: readonly ReadAdapter[]): Composition {
    for (const key of this.#made.keys()) this.#dropIfUnused(key) // what has left the GPU meanwhile
    const adapter = compose(digest, terms, this.#maxRank)
    const name = compositionName(terms)
    const bytes = gpuBytesOf(adapter, this.#spec)
    const { capacityBytes } = this.#registry
    if (bytes > capacityBytes) {
      const message = `${name} takes ${bytes} bytes on the GPU, which has ${capacityBytes} for adapters. Raise --lora-memory.`
      throw new AdapterRefusedError('adapter_too_large', 'lora', message)
    }
    return { version: new AdapterVersion(name, adapter), digests: new Set(terms.map((term) => term.digest)) }
  }

  /** Where nobody leases it, and it is not on the GPU or nobody can ask for it. The bytes of its parts are no longer its own. */
  #dropIfUnused(key: string): void {
    const made = this.#made.get(key)
    if (!made || made.version.isLeased) return
    const { version, digests } = made
    version.adapter = null
    if (version.slot !== null && [...digests].every((digest) => this.#registry.isNamed(digest))) return
    this.#made.delete(key)
    this.#registry.residency.drop(version)
  }
}

function sumsOfAdapters(): Promise<Sums> {
  return part(() => import('./composition.ts'))
}

function readAll(terms: readonly HeldAdapter[]): Promise<readonly ReadAdapter[]> {
  return Promise.all(terms.map(async (term) => ({ ...term, adapter: await term.bytes })))
}
