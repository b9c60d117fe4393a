/**
 * One set of adapter bytes under however many names: what is known of it wherever it is, which of the three tiers has it,
 * and who needs it. Residency and the host tier move it; nothing here decides.
 */

import { hostBytesOf } from './hostBytes.ts'
import { type AdapterKind, kindsOf } from './kinds.ts'
import type { HostAdapter } from './packing.ts'
import type { AdapterStore } from './store.ts'
import { AdapterUsage } from './usage.ts'

/** What is known of an adapter without its tensors. */
export interface AdapterFacts extends Pick<HostAdapter, 'digest' | 'layers' | 'invocation' | 'maxRank' | 'byteLength'> {
  readonly numModules: number
  /** What it takes in host memory. */
  readonly hostBytes: number
  readonly kinds: readonly AdapterKind[]
}

export class AdapterVersion {
  readonly facts: AdapterFacts
  /** For messages: the name it was first loaded under. */
  readonly name: string
  /** Its bytes in host memory; null while they are only where they came from, or on the GPU. */
  adapter: HostAdapter | null
  /** Where the bytes can be had again, one for each name that came from files. */
  readonly stores: Set<AdapterStore> = new Set()
  /** Names whose owner gave the bytes in memory. */
  numFromMemory = 0
  /** Slot in the pool while it is resident. */
  slot: number | null = null
  /** Settles with the latest attempt to bring it in. */
  arrival: Promise<void> = Promise.resolve()
  /** Leases that hold it in its slot. */
  pins = 0
  /** Ages of the leases that wait: smaller is older. */
  readonly waiting: Set<number> = new Set()
  /** Who needs its bytes in host memory, whatever becomes of its place on the GPU. */
  readers = 0
  /** When it was last leased or unpinned. */
  lastUse = 0
  /** Names whose owners asked for it to stay: it gives way only where nothing else does. */
  keepers = 0
  readonly usage: AdapterUsage = new AdapterUsage()

  constructor(name: string, adapter: HostAdapter) {
    const { digest, layers, invocation, maxRank, byteLength, modules } = adapter
    const numModules = modules.length
    this.facts = {
      digest,
      maxRank,
      byteLength,
      numModules,
      hostBytes: hostBytesOf(adapter),
      kinds: kindsOf(adapter),
      ...(layers && { layers }),
      ...(invocation && { invocation }),
    }
    this.name = name
    this.adapter = adapter
  }

  get digest(): string {
    return this.facts.digest
  }

  get byteLength(): number {
    return this.facts.byteLength
  }

  get hostBytes(): number {
    return this.facts.hostBytes
  }

  get tier(): 'gpu' | 'host' | 'store' {
    if (this.slot !== null) return 'gpu'
    return this.adapter ? 'host' : 'store'
  }

  /** Whether anything holds its bytes. */
  get isLeased(): boolean {
    return this.pins > 0 || this.waiting.size > 0 || this.readers > 0
  }

  /** Whether its bytes are nowhere but in host memory. */
  get isFromMemory(): boolean {
    return this.numFromMemory > 0 || this.stores.size === 0
  }

  /** Whether host memory may do without them. */
  get canBeReadAgain(): boolean {
    return !this.isFromMemory && !this.isLeased
  }

  /** Age of its oldest waiting lease; Infinity without one. */
  get need(): number {
    let oldest = Infinity
    for (const age of this.waiting) oldest = Math.min(oldest, age)
    return oldest
  }
}
