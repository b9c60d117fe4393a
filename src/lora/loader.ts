/**
 * How adapters come and go while the server runs. Every change of the names goes through here: what concerns one name
 * happens in the order it was asked for, few folders are read at once, and nothing is registered that was not read to
 * its end.
 */
import { LorikeetError } from '../errors.ts'
import type { ModelSpec } from '../model/spec.ts'
import { part } from '../part.ts'
import type { Folder } from '../weights/folder.ts'
import type { BaseRows } from './baseRows.ts'
import { type AcceptableRefusal, AdapterRefusedError } from './errors.ts'
import type { ReadAdapter } from './readAdapter.ts'
import type { ReadAdapterOptions } from './readPlan.ts'
import type { AdapterOrigin, AdapterRecord, AdapterRegistry, Leaving } from './registry.ts'
import type { AdapterReport } from './report.ts'
import type { AdapterStore } from './store.ts'
import { Gate, Turns } from './turns.ts'

/** The files changed while they were read: what was read may be half of the old and half of the new. */
export class AdapterChangedError extends LorikeetError {
  readonly code = 'adapter_changed'

  constructor(folder: string) {
    super(`${folder} changed while it was read. Load it again when it is complete.`)
  }
}

/** @throws SourceError when it is not to be had */
export type FindFolder = () => Promise<Folder>

export interface LoadOptions {
  /** A name that is taken moves to the new bytes instead of being refused. */
  readonly replace?: boolean
  /** See AdapterRecord. */
  readonly pinned?: boolean
  /** Refusals that the caller knows better about. */
  readonly accept?: readonly AcceptableRefusal[]
  /** Default `program`. */
  readonly origin?: AdapterOrigin
  /** Asked when the files have been read: whether they are still what they were before. */
  readonly isUnchanged?: () => Promise<boolean>
  readonly signal?: AbortSignal
}

export interface LoadedAdapter {
  readonly record: AdapterRecord
  /** What was ignored and why that changes nothing, in sentences. */
  readonly notes: readonly string[]
}

export interface AdapterLoaderOptions {
  readonly registry: AdapterRegistry
  readonly spec: ModelSpec
  /** Larger ranks are refused. */
  readonly maxRank: number
  /** What adapters that bring weights of the base are compared with. Default: nothing. */
  readonly baseRows?: BaseRows
  /** The adapter that is folded into the base: the others were not made for what is served. */
  readonly merged?: { readonly name: string } | null
}

/** Folders read at once, new ones and those read again each: few enough to bound what is in memory on its way. */
const READERS = 4

export class AdapterLoader {
  readonly #registry: AdapterRegistry
  readonly #spec: ModelSpec
  readonly #maxRank: number
  readonly #baseRows: BaseRows | undefined
  readonly #merged: string | null
  readonly #turns = new Turns()
  readonly #gate = new Gate(READERS)
  /** What a request waits for does not stand behind a directory with thousands of new folders. */
  readonly #secondGate = new Gate(READERS)

  constructor({ registry, spec, maxRank, baseRows, merged }: AdapterLoaderOptions) {
    this.#merged = merged?.name ?? null
    this.#baseRows = baseRows
    this.#registry = registry
    this.#spec = spec
    this.#maxRank = maxRank
  }

  /**
   * Reads an adapter, checks it against the base, and registers it; it goes to the GPU when first used. A folder that
   * takes time to find is found in the name's turn.
   * @throws AdapterRefusedError naming the field, file or tensor; AdapterNameError; TooManyPinnedError;
   *   AdapterMemoryFullError; AdapterChangedError; the errors of the files' formats; the signal's reason. The name is as it was then.
   */
  load(name: string, find: Folder | FindFolder, options: LoadOptions = {}): Promise<LoadedAdapter> {
    return this.#turns.run(name, async () => {
      this.#registry.checkName(name, options)
      const folder = typeof find === 'function' ? await find() : find
      const { adapter, notes } = await this.#read(folder, options)
      if (options.isUnchanged && !(await options.isUnchanged())) throw new AdapterChangedError(folder.name)
      const store = folder.isInMemory ? null : this.#storeOf(folder, options)
      return { record: this.#registry.add(name, folder.name, adapter, { ...options, store }), notes }
    })
  }

  /** What loading this folder would be and cost; nothing is loaded. @throws what load throws about files */
  async check(folder: Folder, options: Pick<LoadOptions, 'accept' | 'signal'> = {}): Promise<AdapterReport> {
    const { reportOn } = await part(() => import('./report.ts'))
    return reportOn(await this.#read(folder, options), this.#registry, this.#spec)
  }

  /** Takes a name away, behind the loads of it that were asked for before; null if it is not there then. */
  unload(name: string): Promise<Leaving | null> {
    return this.#turns.run(name, async () => this.#registry.unload(name))
  }

  /**
   * The same bytes again, as they were read before. What their digest proves is not looked at twice: it covers the tensors,
   * not the weights of a base that came with them.
   */
  #storeOf(folder: Folder, { accept = [] }: LoadOptions): AdapterStore {
    const baseRows = this.#baseRows
    const limits = { maxRank: this.#maxRank, maxBytes: this.#registry.host.maxBytes, accept }
    const options = { ...limits, isKnown: true, ...(baseRows && { baseRows }) }
    return {
      name: folder.name,
      read: (signal) =>
        this.#secondGate.pass(
          async () => (await readAdapter(folder, this.#spec, { ...options, signal })).adapter,
          signal,
        ),
    }
  }

  async #read(folder: Folder, { accept = [], signal }: LoadOptions): Promise<ReadAdapter> {
    // What is larger than all of host memory for adapters is refused before its tensors are read.
    const limits = { maxRank: this.#maxRank, maxBytes: this.#registry.host.maxBytes, accept }
    const baseRows = this.#baseRows
    const options = { ...limits, ...(baseRows && { baseRows }), ...(signal && { signal }) }
    this.#checkBase(accept)
    const read = await this.#gate.pass(() => readAdapter(folder, this.#spec, options), signal)
    const { gpuBytesOf } = await part(() => import('./packing.ts'))
    const bytes = gpuBytesOf(read.adapter, this.#spec)
    const { capacityBytes } = this.#registry
    if (bytes <= capacityBytes) return read
    // Said now, not to whoever first asks for it.
    const message = `${folder.name} takes ${bytes} bytes on the GPU, which has ${capacityBytes} for adapters. Raise --lora-memory.`
    throw new AdapterRefusedError('adapter_too_large', 'lora_path', message)
  }

  /** @throws AdapterRefusedError beside a base that has an adapter in it, unless the caller knows better */
  #checkBase(accept: readonly AcceptableRefusal[]): void {
    if (this.#merged === null || accept.includes('adapter_changed_base')) return
    const message = `The base is served with '${this.#merged}' merged into it, which is not what other adapters were made for. Name adapter_changed_base in accept if that is what you want.`
    throw new AdapterRefusedError('adapter_changed_base', 'accept', message)
  }
}

/** What reads adapters comes with the first of them. */
async function readAdapter(folder: Folder, spec: ModelSpec, options: ReadAdapterOptions): Promise<ReadAdapter> {
  const reader = await part(() => import('./readAdapter.ts'))
  return await reader.readAdapter(folder, spec, options)
}
