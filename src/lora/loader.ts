/**
 * How adapters come and go while the server runs. Every change of the names goes through here: what concerns one name
 * happens in the order it was asked for, few folders are read at once, and nothing is registered that was not read to
 * its end.
 */
import { LorikeetError } from '../errors.ts'
import type { ModelSpec } from '../model/spec.ts'
import type { Folder } from '../weights/folder.ts'
import type { BaseRows } from './baseRows.ts'
import { type AcceptableRefusal, AdapterRefusedError } from './errors.ts'
import type { NormalAdapter } from './normal.ts'
import { type ReadAdapter, readAdapter } from './readAdapter.ts'
import type { AdapterOrigin, AdapterRecord, AdapterRegistry, Leaving } from './registry.ts'
import { type AdapterReport, gpuBytesOf, reportOn } from './report.ts'
import { Gate, Turns } from './turns.ts'

/** The files changed while they were read: what was read may be half of the old and half of the new. */
export class AdapterChangedError extends LorikeetError {
  readonly code = 'adapter_changed'

  constructor(folder: string) {
    super(`${folder} changed while it was read. Load it again when it is complete.`)
  }
}

/** Host memory holds as many adapters, or as many bytes of them, as it may. */
export class AdapterMemoryFullError extends LorikeetError {
  readonly code = 'adapter_memory_full'
  override readonly status = 409
  override readonly param = 'lora_path'
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
  /** Most adapters of different bytes in host memory, and most bytes of them. Default: any. */
  readonly maxHostAdapters?: number
  readonly maxHostBytes?: number
  /** What adapters that bring weights of the base are compared with. Default: nothing. */
  readonly baseRows?: BaseRows
}

/** Folders read at once: enough to keep a disk busy, few enough to bound what is in memory on its way. */
const READERS = 4

export class AdapterLoader {
  readonly #registry: AdapterRegistry
  readonly #spec: ModelSpec
  readonly #maxRank: number
  readonly #maxHostAdapters: number
  readonly #maxHostBytes: number
  readonly #baseRows: BaseRows | undefined
  readonly #turns = new Turns()
  readonly #gate = new Gate(READERS)

  constructor({ registry, spec, maxRank, maxHostAdapters, maxHostBytes, baseRows }: AdapterLoaderOptions) {
    this.#baseRows = baseRows
    this.#registry = registry
    this.#spec = spec
    this.#maxRank = maxRank
    this.#maxHostAdapters = maxHostAdapters ?? Infinity
    this.#maxHostBytes = maxHostBytes ?? Infinity
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
      this.#checkHostMemory(adapter)
      return { record: this.#registry.add(name, folder.name, adapter, options), notes }
    })
  }

  /** What loading this folder would be and cost; nothing is loaded. @throws what load throws about files */
  async check(folder: Folder, options: Pick<LoadOptions, 'accept' | 'signal'> = {}): Promise<AdapterReport> {
    return reportOn(await this.#read(folder, options), this.#registry, this.#spec)
  }

  /** Takes a name away, behind the loads of it that were asked for before; null if it is not there then. */
  unload(name: string): Promise<Leaving | null> {
    return this.#turns.run(name, async () => this.#registry.unload(name))
  }

  /** @throws AdapterMemoryFullError when these bytes are not in host memory yet and do not fit beside the others */
  #checkHostMemory({ digest, byteLength }: NormalAdapter): void {
    const { numVersions, hostBytes } = this.#registry
    if (this.#registry.holds(digest)) return
    if (numVersions >= this.#maxHostAdapters) {
      const message = `${numVersions} adapters are loaded, as many as --max-cpu-loras allows. Unload one, or raise it.`
      throw new AdapterMemoryFullError(message)
    }
    if (hostBytes + byteLength > this.#maxHostBytes) {
      const message = `The adapter takes ${byteLength} bytes, and the others take ${hostBytes} of the ${this.#maxHostBytes} that --lora-host-memory allows. Unload one, or raise it.`
      throw new AdapterMemoryFullError(message)
    }
  }

  async #read(folder: Folder, { accept = [], signal }: LoadOptions): Promise<ReadAdapter> {
    // What is larger than all of host memory for adapters is refused before its tensors are read.
    const limits = { maxRank: this.#maxRank, maxBytes: this.#maxHostBytes, accept }
    const baseRows = this.#baseRows
    const options = { ...limits, ...(baseRows && { baseRows }), ...(signal && { signal }) }
    const read = await this.#gate.pass(() => readAdapter(folder, this.#spec, options), signal)
    const bytes = gpuBytesOf(read.adapter, this.#spec)
    const { capacityBytes } = this.#registry
    if (bytes <= capacityBytes) return read
    // Said now, not to whoever first asks for it.
    const message = `${folder.name} takes ${bytes} bytes on the GPU, which has ${capacityBytes} for adapters. Raise --lora-memory.`
    throw new AdapterRefusedError('adapter_too_large', 'lora_path', message)
  }
}
