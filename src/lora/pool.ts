/**
 * The GPU tier of adapters: a few slabs that hold A and B of every resident adapter at its own rank, and a table that
 * says, for (slot, layer, group), where they are. Loading writes bytes and table rows, unloading frees an extent; no
 * buffer, pipeline or bind group is made for an adapter. Slabs are cut by layer, so that a dispatch binds one.
 */
import { invariant, LorikeetError } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import { GROUPS, type Group, type ModelSpec } from '../model/spec.ts'
import type { FloatDtype } from '../weights/dtype.ts'
import { type Extent, ExtentAllocator } from './extents.ts'
import type { NormalAdapter } from './normal.ts'
import { ENTRY_WORDS, layoutOf, packBytes, type SlabLayout, writeEntry } from './packing.ts'

/** An adapter takes a multiple of this in each slab: small enough to waste little, large enough to leave no crumbs. */
const PAGE_BYTES = 16 * 1024

/** The adapter is larger than the whole pool. */
export class AdapterTooLargeError extends LorikeetError {
  readonly code = 'adapter_too_large'
}

export interface AdapterPoolOptions {
  /** Bytes of all slabs together. */
  readonly budgetBytes: number
  /** Adapters that can be resident at once. */
  readonly maxSlots: number
}

/** Told the element types of an adapter before it becomes resident. */
export type PrepareDtypes = (dtypes: ReadonlySet<FloatDtype>) => Promise<void>

/** A resident adapter. */
interface Resident {
  /** Per slab: its extent, or null where it has no layers. */
  readonly extents: readonly (Extent | null)[]
  readonly rankSums: Readonly<Record<Group, number>>
}

interface Slab {
  readonly buffer: Tracked
  readonly extents: ExtentAllocator
  readonly firstLayer: number
  readonly endLayer: number
}

export class AdapterPool {
  /** u32 entries of ENTRY_WORDS words at ((slot * numLayers + layer) * 4 + group). */
  readonly table: Tracked
  readonly maxSlots: number
  readonly #gpu: Gpu
  readonly #spec: ModelSpec
  readonly #slabs: readonly Slab[]
  readonly #residents = new Map<number, Resident>()
  readonly #freeSlots: number[]
  #prepare: PrepareDtypes = async () => undefined

  private constructor(gpu: Gpu, spec: ModelSpec, slabs: readonly Slab[], table: Tracked, maxSlots: number) {
    this.#gpu = gpu
    this.#spec = spec
    this.#slabs = slabs
    this.table = table
    this.maxSlots = maxSlots
    this.#freeSlots = Array.from({ length: maxSlots }, (_, i) => maxSlots - 1 - i)
  }

  /** @throws GpuOutOfMemoryError, with nothing left allocated. */
  static async create(gpu: Gpu, spec: ModelSpec, { budgetBytes, maxSlots }: AdapterPoolOptions): Promise<AdapterPool> {
    const perLayer = Math.ceil(budgetBytes / spec.numLayers / PAGE_BYTES) * PAGE_BYTES
    const most = Math.min(gpu.can.maxBindingBytes, gpu.can.maxBufferBytes)
    const layersPerSlab = Math.max(1, Math.min(spec.numLayers, Math.floor(most / perLayer)))
    const ranges: { firstLayer: number; endLayer: number }[] = []
    for (let firstLayer = 0; firstLayer < spec.numLayers; firstLayer += layersPerSlab) {
      ranges.push({ firstLayer, endLayer: Math.min(firstLayer + layersPerSlab, spec.numLayers) })
    }
    const slabBytes = ({ firstLayer, endLayer }: { firstLayer: number; endLayer: number }) =>
      Math.min(most, (endLayer - firstLayer) * perLayer)
    const [table, ...buffers] = await gpu.allocateAll([
      {
        label: 'adapter table',
        purpose: 'adapters',
        byteLength: maxSlots * spec.numLayers * GROUPS.length * ENTRY_WORDS * 4,
      },
      ...ranges.map((range) => ({
        label: `adapter slab, layers ${range.firstLayer}..${range.endLayer - 1}`,
        purpose: 'adapters' as const,
        byteLength: slabBytes(range),
      })),
    ])
    const slabs = ranges.map((range, i) => ({
      ...range,
      buffer: buffers[i]!,
      extents: new ExtentAllocator(slabBytes(range), PAGE_BYTES),
    }))
    return new AdapterPool(gpu, spec, slabs, table!, maxSlots)
  }

  /** load() will wait for `prepare`: whoever computes with the adapters learns their element types by it. */
  onLoad(prepare: PrepareDtypes): void {
    this.#prepare = prepare
  }

  /** The slab that holds a layer's matrices. */
  slabOf(layer: number): Tracked {
    return this.#slabs.find(({ endLayer }) => layer < endLayer)!.buffer
  }

  /** Stacked rank of a group in a slot, the largest over its layers; 0 where the adapter leaves the group alone. */
  rankSum(slot: number, group: Group): number {
    return this.#resident(slot).rankSums[group]
  }

  get residentCount(): number {
    return this.#residents.size
  }

  get freeBytes(): number {
    return this.#slabs.reduce((sum, { extents }) => sum + extents.freeLength, 0)
  }

  /**
   * Makes an adapter resident and returns its slot, or null when there is no room now (evict another and try again).
   * @throws AdapterTooLargeError when it would not fit an empty pool.
   */
  async load(name: string, adapter: NormalAdapter): Promise<number | null> {
    const layouts = this.#slabs.map(({ firstLayer, endLayer }) => layoutOf(adapter, this.#spec, firstLayer, endLayer))
    this.#slabs.forEach(({ extents }, i) => {
      if (layouts[i]!.byteLength <= extents.capacity) return
      throw new AdapterTooLargeError(
        `Adapter "${name}" needs ${layouts[i]!.byteLength} bytes in a slab of ${extents.capacity}. Raise --lora-memory.`,
      )
    })
    await this.#prepare(new Set(layouts.flatMap(({ groups }) => groups.map(({ dtype }) => dtype))))
    const slot = this.#freeSlots.pop()
    if (slot === undefined) return null
    const extents = this.#allocate(layouts)
    if (!extents) {
      this.#freeSlots.push(slot)
      return null
    }
    this.#residents.set(slot, { extents, rankSums: rankSums(layouts) })
    try {
      await this.#upload(slot, layouts, extents)
    } catch (error) {
      this.unload(slot)
      throw error
    }
    return slot
  }

  /** Frees a slot. No submitted or future step may name it. */
  unload(slot: number): void {
    this.#resident(slot).extents.forEach((extent, i) => {
      if (extent) this.#slabs[i]!.extents.free(extent)
    })
    this.#residents.delete(slot)
    this.#freeSlots.push(slot)
  }

  close(): void {
    this.table.destroy()
    for (const { buffer } of this.#slabs) buffer.destroy()
  }

  #resident(slot: number): Resident {
    const resident = this.#residents.get(slot)
    invariant(resident, `Adapter slot ${slot} is empty`)
    return resident
  }

  /** Extents in all slabs, or in none. */
  #allocate(layouts: readonly SlabLayout[]): (Extent | null)[] | null {
    const taken: (Extent | null)[] = []
    for (const [i, { byteLength }] of layouts.entries()) {
      const extent = byteLength ? this.#slabs[i]!.extents.allocate(byteLength) : null
      if (byteLength && !extent) {
        taken.forEach((one, j) => {
          if (one) this.#slabs[j]!.extents.free(one)
        })
        return null
      }
      taken.push(extent)
    }
    return taken
  }

  async #upload(slot: number, layouts: readonly SlabLayout[], extents: readonly (Extent | null)[]): Promise<void> {
    const { numLayers } = this.#spec
    const rows = new Uint32Array(numLayers * GROUPS.length * ENTRY_WORDS)
    for (const [i, { groups }] of layouts.entries()) {
      for (const packed of groups) {
        const offset = extents[i]!.offset
        await this.#gpu.upload(this.#slabs[i]!.buffer, offset + packed.aOffset, packBytes(this.#spec, packed))
        const entry = (packed.layer * GROUPS.length + GROUPS.indexOf(packed.group)) * ENTRY_WORDS
        writeEntry(rows.subarray(entry, entry + ENTRY_WORDS), packed, offset)
      }
    }
    await this.#gpu.upload(this.table, slot * rows.byteLength, new Uint8Array(rows.buffer))
  }
}

function rankSums(layouts: readonly SlabLayout[]): Record<Group, number> {
  const sums: Record<Group, number> = { attn_in: 0, attn_out: 0, mlp_in: 0, mlp_out: 0 }
  for (const { groups } of layouts)
    for (const { group, rankSum } of groups) sums[group] = Math.max(sums[group], rankSum)
  return sums
}
