/**
 * The compositions that requests ask for. One is made when it is first leased, and shared by all who name the same
 * adapters with the same weights. Its parts' bytes are held for as long as somebody leases it, so what was begun ends on
 * the bytes it began with; between leases it stays on the GPU as any adapter does, until it has to leave, or until a part
 * loses its last name: then nobody can ask for it again.
 */
import type { ModelSpec } from '../model/spec.ts'
import { type AdapterWeight, compose, compositionDigest, compositionName, inOrder } from './composition.ts'
import { AdapterRefusedError } from './errors.ts'
import type { AdapterHold, AdapterRegistry, RegistryLease } from './registry.ts'
import { gpuBytesOf } from './report.ts'
import { AdapterVersion } from './residency.ts'

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

type HeldAdapter = AdapterHold & AdapterWeight

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
  }

  /** Compositions that are leased or on the GPU. */
  get size(): number {
    return this.#made.size
  }

  /**
   * Holds the sum of the adapters' current versions, each at least once leased itself by it, and starts bringing it to the
   * GPU; null if one of them is not there.
   * @throws AdapterRefusedError when they have no sum here, or not one that fits
   */
  lease(weights: readonly AdapterWeight[]): RegistryLease | null {
    const terms = this.#hold(weights)
    if (!terms) return null
    const letGo = (): void => {
      for (const term of terms) term.release()
    }
    let digest: string
    let composition: Composition
    try {
      digest = compositionDigest(terms)
      composition = this.#made.get(digest) ?? this.#make(digest, terms)
    } catch (error) {
      letGo()
      throw error
    }
    this.#made.set(digest, composition)
    const { version } = composition
    const hold = this.#registry.residency.acquire(version)
    let held = true
    return {
      name: compositionName(terms),
      digest,
      invocation: version.adapter.invocation ?? null,
      layers: version.adapter.layers ?? null,
      get slot(): number | null {
        return hold.slot
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
        this.#dropIfUnused(digest)
      },
    }
  }

  /** Whether they have a sum that fits; nothing is kept. @throws AdapterRefusedError as lease does */
  check(weights: readonly AdapterWeight[]): void {
    const terms = this.#hold(weights) ?? []
    try {
      const digest = compositionDigest(terms)
      if (terms.length > 0 && !this.#made.has(digest)) this.#make(digest, terms)
    } finally {
      for (const term of terms) term.release()
    }
  }

  /** All or none. */
  #hold(weights: readonly AdapterWeight[]): readonly HeldAdapter[] | null {
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

  #make(digest: string, terms: readonly HeldAdapter[]): Composition {
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

  /** Where nobody leases it, and it is not on the GPU or nobody can ask for it. */
  #dropIfUnused(key: string): void {
    const { version, digests } = this.#made.get(key)!
    const isNamed = [...digests].every((digest) => this.#registry.isNamed(digest))
    if (version.isLeased || (version.slot !== null && isNamed)) return
    this.#registry.residency.evict(version)
    this.#made.delete(key)
  }
}
