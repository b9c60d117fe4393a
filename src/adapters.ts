/**
 * The adapters of a running model, as programs, requests and directories change them. Where a source is a path the host
 * is asked; what a request may name is bounded here, what the program names is not.
 */
import type { AdapterControl, LogSink } from './api/service.ts'
import { LorikeetError } from './errors.ts'
import { type FolderSource, folderOf } from './hosts/host.ts'
import type { Host } from './hosts/port.ts'
import type { Clock, LoraDirectory } from './lora/directory.ts'
import { AdapterLoader, type AdapterLoaderOptions, type FindFolder, type LoadOptions } from './lora/loader.ts'
import type { AdapterRecord, AdapterRegistry, AdapterStatus } from './lora/registry.ts'
import type { AdapterReport } from './lora/report.ts'
import { part } from './part.ts'
import { type Folder, memoryFolder } from './weights/folder.ts'

/** The two files of a PEFT adapter. */
export interface AdapterFiles {
  /** adapter_config.json, as text or parsed. */
  readonly config: string | Blob | object
  /** adapter_model.safetensors. */
  readonly weights: Blob | Uint8Array
}

/** Adapters that requests may bring: where the paths they name may lead, every link followed. */
export interface RuntimeLora {
  readonly roots: readonly string[]
}

/** A directory with one adapter per sub-folder, each named as its folder. */
export interface LoraDirectoryWish {
  readonly path: string
  /** Seconds within which a change of the directory is followed. Without it the directory is read once. */
  readonly refreshSeconds?: number
  /** For tests. */
  readonly clock?: Clock
}

/** Paths mean nothing here. */
export class NoHostError extends LorikeetError {
  readonly code = 'no_host'
}

export interface AdaptersOptions extends AdapterLoaderOptions {
  readonly host: Host | null
  readonly log: LogSink
}

export class Adapters {
  readonly #registry: AdapterRegistry
  readonly #loader: AdapterLoader
  readonly #host: Host | null
  readonly #log: LogSink
  readonly #directories: LoraDirectory[] = []

  constructor({ host, log, ...options }: AdaptersOptions) {
    this.#registry = options.registry
    this.#loader = new AdapterLoader(options)
    this.#host = host
    this.#log = log
  }

  /**
   * Reads an adapter, checks it against the base, and registers it; it goes to the GPU when first used. With `replace` a
   * name that is taken moves to the new bytes at once, while requests under way finish on the old. What is `pinned` goes to
   * the GPU at once, and leaves it last. Refusals named in `accept` become notes.
   * @throws AdapterRefusedError naming the field, file or tensor; AdapterNameError.
   */
  async load(
    name: string,
    source: FolderSource | AdapterFiles,
    options: Omit<LoadOptions, 'origin' | 'isUnchanged'> = {},
  ): Promise<AdapterRecord> {
    return await this.#load(name, this.#folder(name, source), options)
  }

  /** What loading it would be and cost; nothing is loaded. @throws what load throws about files */
  async check(
    source: FolderSource | AdapterFiles,
    options: Pick<LoadOptions, 'accept' | 'signal'> = {},
  ): Promise<AdapterReport> {
    return await this.#loader.check(this.#folder('adapter', source), options)
  }

  /**
   * Takes the name away at once. Resolves when the last request that uses it has ended: true, or false if there was none
   * of that name.
   */
  async unload(name: string): Promise<boolean> {
    const leaving = await this.#loader.unload(name)
    await leaving?.done
    return leaving !== null
  }

  list(): readonly AdapterRecord[] {
    return this.#registry.list()
  }

  /** Where each of them is and what has become of it; those that were unloaded and are still in use included. */
  status(): readonly AdapterStatus[] {
    return this.#registry.status()
  }

  /**
   * Serves what is in a directory, and with `refreshSeconds` goes on following it until the model is closed.
   * @throws SourceError when it cannot be read now; NoHostError where there are no directories
   */
  async follow({ path, refreshSeconds, clock }: LoraDirectoryWish): Promise<void> {
    if (!this.#host) throw new NoHostError('A directory can be followed only on a host that has them.')
    const { LoraDirectory } = await part(() => import('./lora/directory.ts'))
    const directory = new LoraDirectory({
      subfolders: this.#host.subfolders(path),
      loader: this.#loader,
      registry: this.#registry,
      log: this.#log,
    })
    this.#directories.push(directory)
    await directory.open()
    if (refreshSeconds !== undefined) directory.watch(refreshSeconds * 1000, clock)
  }

  /** What requests may do; null on a host that knows no paths. */
  control({ roots }: RuntimeLora): AdapterControl | null {
    const host = this.#host
    if (!host) return null
    return {
      load: (name, path, options) =>
        this.#load(name, () => host.folderWithin(path, roots), { ...options, origin: 'request' }),
      unload: (name) => this.#loader.unload(name),
      check: async (path, { name, replace, ...options }) => {
        if (name !== null) this.#registry.checkName(name, { replace })
        return await this.#loader.check(await host.folderWithin(path, roots), options)
      },
    }
  }

  /** Follows no directory any more. */
  async close(): Promise<void> {
    await Promise.all(this.#directories.map((directory) => directory.close()))
  }

  async #load(name: string, folder: Folder | FindFolder, options: LoadOptions): Promise<AdapterRecord> {
    const { record, notes } = await this.#loader.load(name, folder, options)
    for (const note of notes) this.#log('info', `adapter ${name}: ${note}`)
    return record
  }

  #folder(name: string, source: FolderSource | AdapterFiles): Folder {
    return isAdapterFiles(source) ? folderOfFiles(name, source) : folderOf(source, this.#host)
  }
}

function isAdapterFiles(source: FolderSource | AdapterFiles): source is AdapterFiles {
  return typeof source === 'object' && 'config' in source && 'weights' in source
}

/** The two files as a folder. */
export function folderOfFiles(name: string, { config, weights }: AdapterFiles): Folder {
  const text = typeof config === 'string' || config instanceof Blob ? config : JSON.stringify(config)
  return memoryFolder(name, { 'adapter_config.json': text, 'adapter_model.safetensors': weights })
}
