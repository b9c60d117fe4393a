/**
 * What a page has of a model that is open in a worker: the same verbs as Lorikeet, over ports. A worker that dies takes
 * with it what is under way, and nothing else: the next use starts another, which opens the same model (from the cache,
 * where there is one) with the adapters that were loaded through here.
 */
import type { AdapterFiles } from '../../../adapters.ts'
import { type ChatOptions, chat } from '../../../api/chatPieces.ts'
import type { LogSink } from '../../../api/service.ts'
import type { LorikeetError } from '../../../errors.ts'
import type { AcceptableRefusal } from '../../../lora/errors.ts'
import type { AdapterRecord, AdapterStatus } from '../../../lora/registry.ts'
import type { AdapterReport } from '../../../lora/report.ts'
import type { FolderSource } from '../../host.ts'
import { ModelCache } from '../cache/modelCache.ts'
import { fetchOver, requestData } from '../relay/fetchClient.ts'
import type { LoadData, OpenedData, RemoteDevice } from '../relay/protocol.ts'
import { ClosedError } from '../relay/remoteError.ts'
import { sendSource } from '../relay/sources.ts'
import type { WorkerLink } from './workerLink.ts'

export interface RemoteLoadOptions extends LoadData {
  readonly signal?: AbortSignal
}

/** An adapter that was loaded through here, to be loaded again into the next worker. */
export interface LoadedSource extends LoadData {
  readonly name: string
  readonly source: FolderSource | AdapterFiles
}

/** A worker with the model open in it. */
export interface OpenedLink {
  readonly link: WorkerLink
  readonly opened: OpenedData
}

/** Starts a worker and opens the model in it, without adapters. */
export type OpenLink = () => Promise<OpenedLink>

export interface RemoteOptions {
  readonly open: OpenLink
  /** What the first worker has loaded. */
  readonly adapters: readonly LoadedSource[]
  readonly log?: LogSink | undefined
}

/** Longest wait for a worker to give back what it holds before it is ended anyway. */
const CLOSE_MS = 5000

export class RemoteLorikeet {
  /** The server: takes what `fetch` takes and answers /v1/… from the worker. Give it to any OpenAI client as its `fetch`. */
  readonly fetch: (input: RequestInfo | URL, init?: RequestInit) => Promise<Response>
  readonly adapters: RemoteAdapters
  /** Names of the base; the first is its id. */
  readonly modelNames: readonly [string, ...string[]]
  /** The GPU that the worker computes on. */
  readonly device: RemoteDevice
  /** The files of models that this origin keeps. */
  readonly cache: ModelCache = new ModelCache()
  readonly #options: RemoteOptions
  #link: WorkerLink
  #reopening: Promise<WorkerLink> | null = null
  #isClosed = false

  constructor(options: RemoteOptions, { link, opened }: OpenedLink) {
    this.#options = options
    this.#link = link
    this.modelNames = opened.modelNames
    this.device = opened.device
    this.adapters = new RemoteAdapters(async (...call) => (await this.#alive()).call(...call), options)
    this.fetch = async (input, init) => {
      const request = new Request(input, init)
      const signal = init?.signal ?? (input instanceof Request ? input.signal : null)
      const data = await requestData(request)
      return await fetchOver(await this.#alive(), data, signal)
    }
  }

  /** Resolves when the worker of now has died, with the reason. Never rejects; closing is not dying. */
  get lost(): Promise<LorikeetError> {
    const { gone } = this.#link
    return new Promise((resolve) => {
      const report = (): void => {
        if (!(gone.reason instanceof ClosedError)) resolve(gone.reason as LorikeetError)
      }
      if (gone.aborted) report()
      else gone.addEventListener('abort', report, { once: true })
    })
  }

  /** The answer to a chat, piece by piece. @throws ChatError with the server's message. */
  chat(options: ChatOptions): AsyncGenerator<string, void, undefined> {
    return chat(this.fetch, options)
  }

  /** Hands a port to the worker; whoever is at its other end may fetch (see WorkerMessage). */
  async connect(port: MessagePort): Promise<void> {
    const link = await this.#alive()
    link.send({ type: 'connect', port }, [port])
  }

  /** The way to the worker, which is started anew if it has died. @throws ClosedError; what opening the model throws */
  async #alive(): Promise<WorkerLink> {
    if (this.#isClosed) throw new ClosedError()
    if (!this.#link.gone.aborted) return this.#link
    this.#reopening ??= this.#reopen().finally(() => {
      this.#reopening = null
    })
    return await this.#reopening
  }

  /** Ends every request with an error, frees the GPU, and ends the worker. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const link = this.#link
    // A worker that hangs is ended all the same.
    const timeout = setTimeout(() => link.end(new ClosedError()), CLOSE_MS)
    await link.call('close', []).catch(() => {})
    clearTimeout(timeout)
    link.end(new ClosedError())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #reopen(): Promise<WorkerLink> {
    const { link } = await this.#options.open()
    await this.adapters.restore(link)
    if (this.#isClosed) {
      link.end(new ClosedError())
      throw new ClosedError()
    }
    this.#link = link
    return link
  }
}

type Call = WorkerLink['call']

/** The adapters of a model in a worker; see Adapters for what each does and throws (here as errors with its `code`). */
export class RemoteAdapters {
  readonly #call: Call
  readonly #sources: Map<string, LoadedSource>
  readonly #log: LogSink

  constructor(call: Call, { adapters, log = () => {} }: Pick<RemoteOptions, 'adapters' | 'log'>) {
    this.#call = call
    this.#sources = new Map(adapters.map((each) => [each.name, each]))
    this.#log = log
  }

  /** Loads into a new worker what the last one had. A file may be gone since: that adapter is missing then, and no other. */
  async restore(link: WorkerLink): Promise<void> {
    for (const { name, source, ...options } of [...this.#sources.values()]) {
      try {
        const { data, transfer } = sendSource(source)
        await link.call('loadAdapter', [name, data, options], { transfer })
      } catch (error) {
        if (link.gone.aborted) throw error
        this.#sources.delete(name)
        this.#log('warn', `adapter ${name} could not be loaded again: ${(error as Error).message}`)
      }
    }
  }

  async load(
    name: string,
    source: FolderSource | AdapterFiles,
    { signal, ...options }: RemoteLoadOptions = {},
  ): Promise<AdapterRecord> {
    const { data, transfer } = sendSource(source)
    const record = await this.#call('loadAdapter', [name, data, options], { transfer, signal })
    this.#sources.delete(name)
    this.#sources.set(name, { name, source, ...options })
    return record
  }

  /** Takes the name away at once; resolves when nothing uses it any more: false if there was none of that name. */
  async unload(name: string): Promise<boolean> {
    this.#sources.delete(name)
    return await this.#call('unloadAdapter', [name])
  }

  /** What loading it would be and cost; nothing is loaded. */
  async check(
    source: FolderSource | AdapterFiles,
    { accept = [], signal }: { readonly accept?: readonly AcceptableRefusal[]; readonly signal?: AbortSignal } = {},
  ): Promise<AdapterReport> {
    const { data, transfer } = sendSource(source)
    return await this.#call('checkAdapter', [data, { accept }], { transfer, signal })
  }

  async list(): Promise<readonly AdapterRecord[]> {
    return await this.#call('listAdapters', [])
  }

  async status(): Promise<readonly AdapterStatus[]> {
    return await this.#call('adapterStatus', [])
  }
}
