/**
 * What page, worker and service worker say to each other, as plain data. Everything asked of the worker comes with a port
 * of its own, on which all of it is said and which is closed when it is over: an exchange needs no number, and whoever
 * holds a port can hand it on (a page hands the service worker's to its worker).
 */
import type { AdapterFiles, RuntimeLora } from '../../../adapters.ts'
import type { LogLevel } from '../../../api/service.ts'
import type { SchedulerOptions } from '../../../engine/scheduler.ts'
import type { EngineSizes } from '../../../engine/sizes.ts'
import type { Capabilities, DeviceWish } from '../../../gpu/capabilities.ts'
import type { AcceptableRefusal } from '../../../lora/errors.ts'
import type { AdapterRecord, AdapterStatus } from '../../../lora/registry.ts'
import type { AdapterReport } from '../../../lora/report.ts'

/** Where a model or an adapter is, as a message can say it. */
export type SourceData =
  | { readonly type: 'address'; readonly url: string }
  /** Paths below the folder, and the files there. */
  | { readonly type: 'files'; readonly name: string; readonly files: readonly (readonly [string, File])[] }
  | { readonly type: 'directory'; readonly handle: FileSystemDirectoryHandle }
  /** A folder that only the sender can read: it answers on the port (see folderPort.ts). */
  | { readonly type: 'folder'; readonly name: string; readonly canList: boolean; readonly port: MessagePort }
  | { readonly type: 'adapter'; readonly files: AdapterFiles }

/** What to do with files that come from an address. */
export interface CacheData {
  /** Milliseconds to wait for an address to say whether its file is still the one that is kept. */
  readonly revalidateMs?: number
}

export interface AdapterData {
  readonly name: string
  readonly source: SourceData
  readonly accept?: readonly AcceptableRefusal[]
}

/** The part of the engine's options that can be sent. */
export interface EngineData extends SchedulerOptions {
  readonly depth?: number
}

export interface OpenData {
  readonly model: SourceData
  readonly adapters: readonly AdapterData[]
  readonly servedModelNames?: readonly string[]
  readonly sizes?: EngineSizes
  readonly engine?: EngineData
  readonly runtimeLora?: RuntimeLora
  readonly maxHostLoras?: number
  readonly loraHostMemory?: number
  readonly apiKeys?: readonly string[]
  readonly maxBodyBytes?: number
  readonly strict?: boolean
  readonly gpu?: Omit<DeviceWish, 'faults'>
  /** Null: files from addresses are not kept. */
  readonly cache: CacheData | null
}

/** What is known of a model once it is open. */
export interface OpenedData {
  readonly modelNames: readonly [string, ...string[]]
  readonly device: RemoteDevice
}

/** The GPU that a worker computes on. */
export interface RemoteDevice {
  /** As the driver says it. */
  readonly name: string
  /** A CPU pretends to be a GPU: expect it to be slow. */
  readonly isSoftware: boolean
  readonly capabilities: Capabilities
}

export interface OpenProgress {
  /**
   * `download`: a file comes from its address; `wait`: another tab is at it; `weights`: tensors go to the GPU; `adapters`:
   * an adapter is read, named in `file`; `ready`.
   */
  readonly phase: 'download' | 'wait' | 'weights' | 'adapters' | 'ready'
  /** Path of the file below its folder. */
  readonly file?: string
  readonly loadedBytes: number
  /** 0 while it is not known. */
  readonly totalBytes: number
  /** No byte had to come over the network so far. */
  readonly fromCache: boolean
}

export interface RequestData {
  readonly url: string
  readonly method: string
  readonly headers: readonly (readonly [string, string])[]
  readonly body: ArrayBuffer | null
}

/** An error with what makes it typed (see remoteError.ts). */
export interface ErrorData {
  readonly name: string
  readonly message: string
  /** Null for an error that is none of lorikeet's own. */
  readonly code: string | null
  readonly status: number
  readonly param: string | null
}

/** What can be called in the worker beside `fetch`. */
export interface RemoteCalls {
  loadAdapter(name: string, source: SourceData, options: LoadData): AdapterRecord
  unloadAdapter(name: string): boolean
  checkAdapter(source: SourceData, options: Pick<LoadData, 'accept'>): AdapterReport
  listAdapters(): readonly AdapterRecord[]
  adapterStatus(): readonly AdapterStatus[]
  close(): void
}
export type RemoteCall = keyof RemoteCalls

export interface LoadData {
  readonly replace?: boolean
  readonly pinned?: boolean
  readonly accept?: readonly AcceptableRefusal[]
}

/** To the worker. Each port is in the message's list of transfers, too. */
export type WorkerMessage =
  | { readonly type: 'open'; readonly options: OpenData; readonly port: MessagePort }
  | FetchMessage
  | {
      readonly type: 'call'
      readonly method: RemoteCall
      readonly args: readonly unknown[]
      readonly port: MessagePort
    }
  /** The port leads to somebody else (a service worker), who may send FetchMessages on it and is greeted with `welcome`. */
  | { readonly type: 'connect'; readonly port: MessagePort }

export interface FetchMessage {
  readonly type: 'fetch'
  readonly request: RequestData
  readonly port: MessagePort
}

/** From the worker, beside what it says on ports. What recovers from a lost device has its place here. */
export type WorkerEvent =
  /** The first message. The lock of that name is free again when the worker is gone; null where there are no locks. */
  | { readonly type: 'hello'; readonly lifeline: string | null }
  | {
      readonly type: 'log'
      readonly level: LogLevel
      readonly message: string
      readonly fields: Readonly<Record<string, unknown>> | undefined
    }

/** On the port of `open` and of a call, from the worker: progress while it lasts, then one of the others. */
export type Reply =
  | { readonly type: 'progress'; readonly progress: OpenProgress }
  | { readonly type: 'result'; readonly value: unknown }
  | { readonly type: 'error'; readonly error: ErrorData }

/** On the port of a fetch, from the worker: `head`, then chunks, then `end`; an `error` may take the place of any. */
export type ResponseMessage =
  | {
      readonly type: 'head'
      readonly status: number
      readonly headers: readonly (readonly [string, string])[]
      readonly hasBody: boolean
    }
  | { readonly type: 'chunk'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'end' }
  | { readonly type: 'error'; readonly error: ErrorData }

/** On any port, to the worker. `pull` allows that many more chunks: none is read that the reader has no room for. */
export type ControlMessage = { readonly type: 'pull'; readonly chunks: number } | { readonly type: 'abort' }

/** On a connection, from the worker: it answers here, and the lock of that name is free again when it is gone. */
export interface WelcomeMessage {
  readonly type: 'welcome'
  readonly lifeline: string | null
}

/** On a connection, to the worker: the lock that is free again when the other end is gone. */
export interface VisitorMessage {
  readonly type: 'visitor'
  readonly lifeline: string | null
}
