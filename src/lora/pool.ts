/**
 * The GPU tier of adapters: a few slabs that hold A and B of every resident adapter at its own rank, and a table that
 * says, for (slot, layer, group), where they are. Loading writes bytes and table rows, unloading frees an extent; no
 * buffer, pipeline or bind group is made for an adapter. Slabs are cut by layer, so that a dispatch binds one.
 *
 * An adapter fits when as many pages are free as it needs, wherever they lie: those that lie apart are brought together.
 */
import { invariant, LorikeetError } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import { slotWords, tableLayers } from '../model/adapterTable.ts'
import type { AdapterUse } from '../model/adapterUse.ts'
import { MAX_FOLDS } from '../model/layerList.ts'
import type { Group, ModelSpec } from '../model/spec.ts'
import { type ModelWeights, readVector } from '../model/weights.ts'
import { nextTask } from '../nextTask.ts'
import { part } from '../part.ts'
import { BOUNCE_BYTES, Compaction, type Occupant } from './compaction.ts'
import type { DoraNorms } from './doraNorms.ts'
import { type Extent, ExtentAllocator } from './extents.ts'
import type { LoraPart } from './normal.ts'
import type { AdapterImage, HostAdapter, PackedGroup, PackedLayout } from './packing.ts'
import type { SlabWriter } from './slabWriter.ts'
import { UploadTurns } from './uploadTurns.ts'

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
  /** The base, beside which some kinds of adapters are worked out when they arrive. */
  readonly weights: ModelWeights
}

/**
 * Told what an adapter does before it becomes resident. What it resolves to is called when the adapter is not resident any
 * more, or could not become it.
 */
export type PrepareAdapter = (use: AdapterUse) => Promise<() => void>

/** A resident adapter. */
interface Resident {
  readonly plan: Plan
  /** Per slab: its extent, or null where it has no layers. */
  readonly extents: (Extent | null)[]
  /** Its part of the table. */
  readonly words: Uint32Array<ArrayBuffer>
  /** In the table: one, and one more for each time that its layers reach over those of the base. */
  readonly slots: Extent
  /** See PrepareAdapter. */
  readonly letGo: () => void
}

/** How an adapter is going to lie in the slabs, wherever there is room. */
interface Plan {
  /** Per slab: what lies there. */
  readonly sections: readonly PackedLayout[]
  /** Per slab: which words of the table are places there. */
  readonly places: readonly (readonly number[])[]
  /** Its part of the table, with places as if the whole layout began where the slab does. */
  readonly words: Uint32Array
  /** Over all layers. */
  readonly use: AdapterUse
}

type Uploading = typeof import('./uploading.ts')

interface Slab {
  readonly buffer: Tracked
  readonly extents: ExtentAllocator
  readonly firstLayer: number
  readonly endLayer: number
}

export class AdapterPool {
  /** slotWords() u32 words for each slot: see adapterTable.ts. */
  readonly table: Tracked
  readonly maxSlots: number
  readonly #gpu: Gpu
  readonly #spec: ModelSpec
  readonly #weights: ModelWeights
  /** Null before the first DoRA adapter. */
  #norms: DoraNorms | null = null
  readonly #turns: UploadTurns
  readonly #bounce: Tracked
  readonly #compaction: Compaction
  readonly #slabs: readonly Slab[]
  readonly #residents = new Map<number, Resident>()
  readonly #slots: ExtentAllocator
  /** Of adapters in host memory. */
  readonly #plans = new WeakMap<HostAdapter, Plan>()
  /** Null before the first adapter. */
  #uploading: Uploading | null = null
  #prepare: PrepareAdapter = async () => () => undefined

  private constructor(
    gpu: Gpu,
    spec: ModelSpec,
    { weights, maxSlots }: AdapterPoolOptions,
    slabs: readonly Slab[],
    table: Tracked,
    bounce: Tracked,
  ) {
    this.#gpu = gpu
    this.#spec = spec
    this.#weights = weights
    this.#slabs = slabs
    this.table = table
    this.maxSlots = maxSlots
    this.#turns = new UploadTurns({ now: () => performance.now(), pause: nextTask })
    this.#bounce = bounce
    this.#compaction = new Compaction(gpu, this.#turns, bounce)
    this.#slots = new ExtentAllocator(tableSlots(maxSlots), 1)
  }

  /** @throws GpuOutOfMemoryError, with nothing left allocated. */
  static async create(gpu: Gpu, spec: ModelSpec, options: AdapterPoolOptions): Promise<AdapterPool> {
    const { budgetBytes, maxSlots } = options
    const perLayer = Math.ceil(budgetBytes / spec.numLayers / PAGE_BYTES) * PAGE_BYTES
    const most = Math.min(gpu.can.maxBindingBytes, gpu.can.maxBufferBytes)
    const fitting = Math.max(1, Math.min(spec.numLayers, Math.floor(most / perLayer)))
    // As many in each as can be: the last one also takes what is outside the layers.
    const layersPerSlab = Math.ceil(spec.numLayers / Math.ceil(spec.numLayers / fitting))
    const ranges: { firstLayer: number; endLayer: number }[] = []
    for (let firstLayer = 0; firstLayer < spec.numLayers; firstLayer += layersPerSlab) {
      ranges.push({ firstLayer, endLayer: Math.min(firstLayer + layersPerSlab, spec.numLayers) })
    }
    const slabBytes = ({ firstLayer, endLayer }: { firstLayer: number; endLayer: number }) =>
      Math.min(most, (Math.min(endLayer, spec.numLayers) - firstLayer) * perLayer)
    // What is outside the layers lies in the last slab.
    ranges.at(-1)!.endLayer = tableLayers(spec)
    const [bounce, table, ...buffers] = await gpu.allocateAll([
      { label: 'adapters on the move', purpose: 'adapters', byteLength: BOUNCE_BYTES },
      {
        label: 'adapter table',
        purpose: 'adapters',
        byteLength: tableSlots(maxSlots) * slotWords(spec) * 4,
      },
      ...ranges.map((range) => ({
        label: `adapter slab, layers from ${range.firstLayer}`,
        purpose: 'adapters' as const,
        byteLength: slabBytes(range),
      })),
    ])
    const slabs = ranges.map((range, i) => ({
      ...range,
      buffer: buffers[i]!,
      extents: new ExtentAllocator(slabBytes(range), PAGE_BYTES),
    }))
    return new AdapterPool(gpu, spec, options, slabs, table!, bounce!)
  }

  /** load() will wait for `prepare`: whoever computes with the adapters learns by it what they do. */
  onLoad(prepare: PrepareAdapter): void {
    this.#prepare = prepare
  }

  /** The slab that holds a layer's matrices; of what is outside the layers, with `layer` their number. */
  slabOf(layer: number): Tracked {
    return this.#slabs.find(({ endLayer }) => layer < endLayer)!.buffer
  }

  /** Uploads go on between steps. Call what comes back when the step's result is there. */
  stepSubmitted(): () => void {
    return this.#turns.stepSubmitted()
  }

  /** Adapters that were moved to make room in one piece, and their bytes. */
  get moves(): { readonly count: number; readonly bytes: number } {
    return { count: this.#compaction.numMoves, bytes: this.#compaction.movedBytes }
  }

  /** What the adapter in a slot does, over all its layers. */
  use(slot: number): AdapterUse {
    return this.#resident(slot).plan.use
  }

  get residentCount(): number {
    return this.#residents.size
  }

  /** What the adapter in a slot takes of the budget. */
  bytesOf(slot: number): number {
    return this.#resident(slot).extents.reduce((sum, extent) => sum + (extent?.length ?? 0), 0)
  }

  get freeBytes(): number {
    return this.#slabs.reduce((sum, { extents }) => sum + extents.freeLength, 0)
  }

  /**
   * Makes an adapter resident and returns its slot, or null when there is no room now (evict another and try again). One
   * call at a time.
   * @throws AdapterTooLargeError when it would not fit an empty pool; GpuLostError; the signal's reason
   */
  async load(name: string, adapter: HostAdapter, signal?: AbortSignal): Promise<number | null> {
    const parts = this.#uploading ?? (await part(() => import('./uploading.ts')))
    this.#uploading = parts
    const plan = this.#planOf(parts, adapter)
    const { sections, use } = plan
    this.#slabs.forEach(({ extents }, i) => {
      if (sections[i]!.byteLength <= extents.capacity) return
      throw new AdapterTooLargeError(
        `Adapter "${name}" needs ${sections[i]!.byteLength} bytes in a slab of ${extents.capacity}. Raise --lora-memory.`,
      )
    })
    const letGo = await this.#prepare(use)
    const slots = this.#residents.size < this.maxSlots ? this.#slots.allocate(use.layers?.numFolds ?? 1) : null
    const extents = slots && (await this.#allocate(sections))
    if (!extents) {
      if (slots) this.#slots.free(slots)
      letGo()
      return null
    }
    const slot = slots.offset
    const words = new Uint32Array(plan.words)
    plan.places.forEach((places, i) => {
      for (const place of places) words[place]! += originOf(extents[i]!, sections[i]!) / 4
    })
    this.#residents.set(slot, { plan, extents, words, slots, letGo })
    try {
      await this.#upload(parts, slot, adapter, signal)
    } catch (error) {
      this.unload(slot)
      throw error
    }
    return slot
  }

  /** Frees a slot. No submitted or future step may name it. */
  unload(slot: number): void {
    const { extents, slots, letGo } = this.#resident(slot)
    extents.forEach((extent, i) => {
      if (extent) this.#slabs[i]!.extents.free(extent)
    })
    this.#residents.delete(slot)
    this.#slots.free(slots)
    letGo()
  }

  close(): void {
    this.#norms?.close()
    this.#bounce.destroy()
    this.table.destroy()
    for (const { buffer } of this.#slabs) buffer.destroy()
  }

  /** An adapter is in host memory and may be wanted: what can be worked out before is then no part of its arrival. */
  expect(adapter: HostAdapter): void {
    if (this.#uploading) this.#planOf(this.#uploading, adapter)
  }

  #planOf(parts: Uploading, adapter: HostAdapter): Plan {
    const plan = this.#plans.get(adapter) ?? this.#makePlan(parts, adapter)
    this.#plans.set(adapter, plan)
    return plan
  }

  #makePlan({ layoutOf, sectionOf, useOf, writeEntry }: Uploading, adapter: HostAdapter): Plan {
    const spec = this.#spec
    const layout = adapter.image?.layout ?? layoutOf(adapter, spec)
    const sections = this.#slabs.map(({ firstLayer, endLayer }) => sectionOf(layout, spec, firstLayer, endLayer))
    const words = new Uint32Array(slotWords(spec) * (adapter.layers?.numFolds ?? 1))
    const places = sections.map(({ groups }) => groups.flatMap((packed) => writeEntry(words, spec, packed, 0)))
    return { sections, places, words, use: useOf(adapter, layout) }
  }

  #resident(slot: number): Resident {
    const resident = this.#residents.get(slot)
    invariant(resident, `Adapter slot ${slot} is empty`)
    return resident
  }

  /** Extents in all slabs, or in none. */
  async #allocate(sections: readonly PackedLayout[]): Promise<(Extent | null)[] | null> {
    if (!sections.every(({ byteLength }, i) => this.#slabs[i]!.extents.hasFree(byteLength))) return null
    for (const [i, { byteLength }] of sections.entries()) {
      const slab = this.#slabs[i]!
      if (slab.extents.canAllocate(byteLength)) continue
      await this.#compaction.makeRoom(slab, byteLength, () => this.#occupants(i))
    }
    // Others can only have freed theirs meanwhile.
    return sections.map(({ byteLength }, i) => (byteLength ? this.#slabs[i]!.extents.allocate(byteLength)! : null))
  }

  /** Who lies in a slab. */
  *#occupants(slab: number): Generator<Occupant, void, undefined> {
    for (const [slot, { plan, extents, words }] of this.#residents) {
      const extent = extents[slab]
      if (!extent) continue
      const moved = (to: Extent): void => {
        extents[slab] = to
        for (const place of plan.places[slab]!) words[place]! += (to.offset - extent.offset) / 4
        this.#gpu.write(this.table, slot * slotWords(this.#spec) * 4, words)
      }
      yield { extent, moved }
    }
  }

  async #upload(parts: Uploading, slot: number, adapter: HostAdapter, signal?: AbortSignal): Promise<void> {
    const { extents, words, plan } = this.#resident(slot)
    const wholes: [PackedGroup, slabOffset: number][] = []
    for (const [i, section] of plan.sections.entries()) {
      const extent = extents[i]
      if (!extent) continue
      const origin = originOf(extent, section)
      const writer = new parts.SlabWriter(this.#gpu, this.#turns, this.#slabs[i]!.buffer, origin, signal)
      await this.#write(parts, writer, section, adapter.image)
      for (const packed of section.groups) wholes.push([packed, origin])
    }
    this.#gpu.write(this.table, slot * slotWords(this.#spec) * 4, words)
    if (!wholes.some(([packed]) => hasRowScale(packed))) return
    const { DoraNorms } = await part(() => import('./doraNorms.ts'))
    this.#norms ??= new DoraNorms(this.#gpu, this.#spec, this.#weights, this)
    await this.#norms.apply(slot, wholes, signal)
  }

  async #write(
    { baseVectorsOf, packGroupInto }: Uploading,
    writer: SlabWriter,
    { groups, start, byteLength }: PackedLayout,
    image?: AdapterImage,
  ): Promise<void> {
    if (image) await writer.write(start, image.bytes.subarray(start, start + byteLength))
    for (const packed of groups) {
      if (!image) {
        const bytes = new Uint8Array(packed.byteLength)
        for (const _ of packGroupInto(bytes, packed)) await writer.turn()
        await writer.write(packed.aOffset, bytes)
      }
      const bias = bringsBias(packed) ? await this.#baseBias(packed) : null
      const rowScaleOf = (module: LoraPart) => this.#norms?.rowScaleOf(module)
      for (const { offset, bytes } of baseVectorsOf(packed, bias, rowScaleOf)) await writer.write(offset, bytes)
    }
  }

  /** The base's bias of a group. */
  async #baseBias({ baseLayer, group }: PackedGroup): Promise<Float32Array | null> {
    const bias = this.#weights.layers[baseLayer]!.biases[group as Group]
    if (!bias) return null
    return await readVector(this.#gpu, this.#weights, bias)
  }
}

/** From where on places of a section's layout are counted, in bytes of the slab; where others begin before it, below its start. */
function originOf(extent: Extent, { start }: PackedLayout): number {
  return extent.offset - start
}

/** Whether there is another bias for part of it. */
function bringsBias({ projections }: PackedGroup): boolean {
  return projections.some((one) => one?.module.bias)
}

/** Whether the lengths of rows matter to part of it. */
function hasRowScale({ projections }: PackedGroup): boolean {
  return projections.some((one) => one?.rowScaleOffset != null)
}

/** A few more than adapters, so that one which takes several finds them in a row. */
function tableSlots(maxSlots: number): number {
  return maxSlots + MAX_FOLDS - 1
}
