/** Real residency over a pool without a GPU, whose slots FakeRunner can ask for what lies in them. */

import type { AdapterLease } from '../../src/engine/generation.ts'
import type { NormalAdapter } from '../../src/lora/normal.ts'
import { type AdapterRoom, Residency } from '../../src/lora/residency.ts'
import { AdapterVersion } from '../../src/lora/version.ts'

export interface RoomOptions {
  readonly slots: number
  /** Size of each adapter, and of the pool, in any unit. Default: slots are what runs short. */
  readonly sizes?: readonly number[]
  readonly capacity?: number
  /** Tasks that an upload takes. Default 1. */
  readonly uploadTasks?: number
}

export class FakeAdapters {
  readonly residency: Residency
  /** Adapter of each slot that is in use. */
  readonly slots: Map<number, number> = new Map()
  numLoads = 0
  readonly #versions = new Map<number, AdapterVersion>()
  readonly #options: RoomOptions

  constructor(options: RoomOptions) {
    this.#options = options
    const room: AdapterRoom = { load: (name) => this.#load(Number(name)), unload: (slot) => this.#unload(slot) }
    this.residency = new Residency(room)
  }

  lease(adapter: number): AdapterLease {
    const version = this.#versions.get(adapter) ?? new AdapterVersion(`${adapter}`, normal(`${adapter}`))
    this.#versions.set(adapter, version)
    return Object.assign(this.residency.acquire(version), { name: `${adapter}`, digest: `digest of ${adapter}` })
  }

  async #load(adapter: number): Promise<number | null> {
    const { slots, sizes = [], capacity = Infinity, uploadTasks = 1 } = this.#options
    await null
    const size = (one: number): number => sizes[one] ?? 0
    const used = [...this.slots.values()].reduce((sum, one) => sum + size(one), 0)
    const slot = Array.from({ length: slots }, (_, i) => i).find((i) => !this.slots.has(i))
    if (slot === undefined || used + size(adapter) > capacity) return null
    this.slots.set(slot, adapter)
    for (let i = 0; i < uploadTasks; i++) await new Promise((resolve) => setImmediate(resolve))
    this.numLoads++
    return slot
  }

  #unload(slot: number): void {
    if (!this.slots.delete(slot)) throw new Error(`slot ${slot} is empty`)
  }
}

const normal = (digest: string): NormalAdapter => ({ digest, modules: [], maxRank: 8, byteLength: 1 })
