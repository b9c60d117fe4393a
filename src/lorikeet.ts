/**
 * lorikeet as a library: one base model, its adapters, and an OpenAI-shaped `fetch`. Hosts (src/hosts/) bring the GPU
 * and know what a path is; everything here is the same in a page, in Deno and in Node.
 */
import { Adapters, type LoraDirectoryWish, type RuntimeLora } from './adapters.ts'
import { type ChatOptions, chat } from './api/chatPieces.ts'
import { DefaultScales } from './api/defaultScales.ts'
import { createHandler, type HandlerOptions } from './api/handler.ts'
import type { LogSink, Service } from './api/service.ts'
import type { EngineOptions } from './engine/engine.ts'
import { EngineMeter } from './engine/meter.ts'
import { observedBy } from './engine/observer.ts'
import { Runtime } from './engine/runtime.ts'
import { type EngineSizes, profileOf } from './engine/sizes.ts'
import { telemetryOf } from './engine/telemetry.ts'
import type { TuningOptions } from './engine/tuning.ts'
import { LorikeetError } from './errors.ts'
import type { DeviceWish } from './gpu/capabilities.ts'
import { Gpu } from './gpu/gpu.ts'
import { currentHost } from './hosts/current.ts'
import { type FolderSource, folderOf } from './hosts/host.ts'
import type { Host } from './hosts/port.ts'
import type { AcceptableRefusal } from './lora/errors.ts'
import type { MergeWish } from './lora/merge.ts'
import { readGenerationDefaults } from './model/generationConfig.ts'
import type { LoadProgress } from './model/weights.ts'
import { readText } from './text/readText.ts'
import { VERSION } from './version.ts'
import { readJsonIfPresent } from './weights/config.ts'
import { type Folder, openIfPresent } from './weights/folder.ts'

export interface StartOptions extends HandlerOptions {
  /** Names the base answers to. Default: the last part of the folder's name. */
  readonly servedModelNames?: readonly string[]
  /** Lets requests load and unload adapters. Default: they may not. */
  readonly runtimeLora?: RuntimeLora
  /** Most adapters in host memory, default any, and most bytes of them, default 1 GiB. The rest stays where it came from. */
  readonly maxHostLoras?: number
  readonly loraHostMemory?: number
  /** Folded into the base while that is loaded; the base then answers to its name too. */
  readonly merge?: MergeWish
  readonly sizes?: EngineSizes
  readonly engine?: EngineOptions
  /** How kernels are fitted to the device. Default: measured while idle, except on software devices, and kept where the host keeps such things. */
  readonly tuning?: TuningOptions
  readonly log?: LogSink
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: LoadProgress) => void
}

/** An adapter to load at the start. */
export interface AdapterWish {
  readonly name: string
  readonly source: FolderSource
  /** See Adapters.load. */
  readonly accept?: readonly AcceptableRefusal[]
}

export interface OpenOptions extends Omit<StartOptions, 'merge'> {
  /** A Hugging Face folder: a path, an address, picked files. */
  readonly model: FolderSource
  /** Adapters to load at once. */
  readonly adapters?: readonly AdapterWish[]
  /** Adapters that lie in a directory, one per sub-folder; those that are refused are logged and left out. */
  readonly loraDirectory?: LoraDirectoryWish
  /**
   * An adapter to fold into the base, or the name of one of `adapters` or of a sub-folder of `loraDirectory`: no step does
   * anything for it then. Other adapters are refused beside it unless they accept `adapter_changed_base`.
   */
  readonly merge?: string | AdapterWish
  /** A GPU opened elsewhere, which then belongs to lorikeet; or what of the host's own to leave unused. */
  readonly gpu?: Gpu | DeviceWish
}

/** The adapter to merge is none of those that were given. */
export class MergeNotFoundError extends LorikeetError {
  readonly code = 'merge_not_found'
  override readonly param = 'merge'

  constructor(name: string) {
    super(`There is no adapter "${name}" to merge. Name one of those that are loaded, or say where it is.`)
  }
}

/** Longest tokenizer or template file that is read. */
const MAX_TEXT_BYTES = 64 * 1024 * 1024

export class Lorikeet {
  /** The server: takes what `fetch` takes and answers /v1/… in-process. Give it to any OpenAI client as its `fetch`. */
  readonly fetch: (input: RequestInfo | URL, init?: RequestInit) => Promise<Response>
  readonly adapters: Adapters
  /** Names of the base; the first is its id. */
  readonly modelNames: readonly [string, ...string[]]
  /** Where the base came from. */
  readonly modelRoot: string
  readonly runtime: Runtime
  readonly #gpu: Gpu
  #closing: Promise<void> | null = null

  private constructor(gpu: Gpu, runtime: Runtime, adapters: Adapters, service: Service, options: StartOptions) {
    const handler = createHandler(service, options)
    // A Request goes through as it is: a host's own subclass may not survive being copied.
    this.fetch = (input, init) =>
      handler(input instanceof Request && init === undefined ? input : new Request(input, init))
    this.adapters = adapters
    this.modelNames = service.modelNames
    this.modelRoot = service.modelRoot
    this.runtime = runtime
    this.#gpu = gpu
  }

  /**
   * Opens a model with its adapters on the GPU of this host.
   * @throws NoGpuError, or a LorikeetError that names the file, field or tensor at fault. Nothing stays open then.
   */
  static async open({
    model,
    adapters = [],
    loraDirectory,
    merge: merged,
    gpu: wish = {},
    ...options
  }: OpenOptions): Promise<Lorikeet> {
    const given = wish instanceof Gpu ? wish : null
    const host = given ? await currentHost().catch(() => null) : await currentHost()
    const folder = folderOf(model, host)
    const merge = merged === undefined ? null : mergeWish(merged, adapters, loraDirectory, host)
    const gpu = given ?? (await host!.openGpu(wish as DeviceWish))
    const bird = await Lorikeet.start(gpu, folder, { ...options, ...(merge && { merge }) }, host)
    try {
      for (const { name, source, accept = [] } of adapters.filter((each) => each.name !== merge?.name)) {
        await bird.adapters.load(name, source, { accept, ...(options.signal && { signal: options.signal }) })
      }
      if (loraDirectory) await bird.adapters.follow(loraDirectory)
      return bird
    } catch (error) {
      await bird.close()
      throw error
    }
  }

  /**
   * Loads a Hugging Face folder onto a GPU that it then owns.
   * @throws a LorikeetError that names the file, field or tensor at fault; the GPU is closed then.
   */
  static async start(
    gpu: Gpu,
    folder: Folder,
    options: StartOptions = {},
    host: Host | null = null,
  ): Promise<Lorikeet> {
    const { merge } = options
    const modelNames = namesOf(folder, options.servedModelNames ?? [], merge ? [merge.name] : [])
    let runtime: Runtime | null = null
    try {
      const { observer, now } = options.engine ?? {}
      const meter = new EngineMeter(now)
      runtime = await Runtime.open(gpu, folder, {
        ...options,
        engine: { ...options.engine, observer: observer ? observedBy(meter, observer) : meter },
        reservedNames: modelNames,
        tuning: tuningOf(options, host),
      })
      const generation = await readJsonIfPresent(folder, 'generation_config.json')
      const text = await readText({
        readJson: (path) => readJsonIfPresent(folder, path, { maxBytes: MAX_TEXT_BYTES }),
        readText: (path) => readTextFile(folder, path),
      })
      const log = options.log ?? (() => undefined)
      const registry = runtime.adapters
      const { spec, sizes, baseRows, merged } = runtime
      for (const note of merged?.notes ?? []) log('info', `adapter ${merged!.name}: ${note}`)
      const adapters = new Adapters({ registry, spec, maxRank: sizes.maxLoraRank, baseRows, merged, host, log })
      const service: Service = {
        modelNames,
        modelRoot: folder.name,
        merged,
        profile: profileOf(sizes),
        created: Math.floor(Date.now() / 1000),
        engine: runtime.engine,
        tokenizer: text.tokenizer,
        template: text.template,
        defaults: readGenerationDefaults(generation, runtime.config),
        adapters: registry,
        compositions: runtime.compositions,
        defaultScales: new DefaultScales(),
        control: options.runtimeLora ? adapters.control(options.runtimeLora) : null,
        telemetry: telemetryOf(runtime, meter),
        version: VERSION,
        log,
        randomSeed: () => crypto.getRandomValues(new Uint32Array(1))[0]!,
      }
      return new Lorikeet(gpu, runtime, adapters, service, options)
    } catch (error) {
      await runtime?.close()
      gpu.close()
      throw error
    }
  }

  /** The answer to a chat, piece by piece. @throws ChatError with the server's message. */
  chat(options: ChatOptions): AsyncGenerator<string, void, undefined> {
    return chat(this.fetch, options)
  }

  /** Ends every request with an error, frees everything on the GPU, and lets the GPU go. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await this.adapters.close()
    await this.runtime.close()
    this.#gpu.close()
  }
}

/** With the host's store, and findings in the log. */
function tuningOf({ tuning = {}, log }: StartOptions, host: Host | null): TuningOptions {
  return {
    ...(host?.tuningStore && { store: host.tuningStore }),
    onFound: (name, { chosen }) => log?.('debug', `kernels: ${name}: ${chosen}`),
    onProblem: ({ message }) => log?.('warn', `kernels: ${message}`),
    ...tuning,
  }
}

/** Those that were given, or the last part of the folder's name; and `more`. */
function namesOf(folder: Folder, given: readonly string[], more: readonly string[]): [string, ...string[]] {
  const own = folder.name
    .replace(/[\\/]+$/, '')
    .split(/[\\/]/)
    .at(-1)
  const [first = own || 'base', ...others] = given
  return [...new Set([first, ...others, ...more])] as [string, ...string[]]
}

/** @throws MergeNotFoundError */
function mergeWish(
  merged: string | AdapterWish,
  adapters: readonly AdapterWish[],
  directory: LoraDirectoryWish | undefined,
  host: Host | null,
): MergeWish {
  const wish = typeof merged === 'string' ? adapters.find(({ name }) => name === merged) : merged
  if (wish) return { name: wish.name, folder: folderOf(wish.source, host), accept: wish.accept ?? [] }
  const name = merged as string
  if (directory && host) return { name, folder: host.subfolders(directory.path).folder(name) }
  throw new MergeNotFoundError(name)
}

async function readTextFile(folder: Folder, path: string): Promise<string | null> {
  const source = await openIfPresent(folder, path)
  if (!source) return null
  try {
    return new TextDecoder().decode(await source.read(0, Math.min(source.size, MAX_TEXT_BYTES)))
  } finally {
    await source.close()
  }
}
