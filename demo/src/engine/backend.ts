/**
 * Where the engine is: in this tab, or behind the server that sent this page. Everything the page does goes through
 * this interface, and almost all of it through `fetch`, which speaks lorikeet's API in both.
 */
import type { AdapterSource, CheckReport } from './types.ts'

export interface LoadWish {
  readonly pinned?: boolean
  /** A name that is taken moves to the new bytes. */
  readonly replace?: boolean
}

export interface Backend {
  readonly kind: 'tab' | 'server'
  /** The API's address for programs elsewhere; null in a tab, which nobody else can reach. */
  readonly address: string | null
  /** How many answers can stream at once. */
  readonly maxStreams: number
  /** Kinds of sources that adapters can come from here. */
  readonly sources: readonly AdapterSource['type'][]
  /** The model's address, for snippets. */
  readonly model: string | null
  /** Takes a path of the API without its leading slash. @throws ApiError when nobody answers */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** What loading would do. @throws ApiError with the refusal in words */
  check(source: AdapterSource, name: string): Promise<CheckReport>
  load(source: AdapterSource, name: string, wish?: LoadWish): Promise<void>
  unload(name: string): Promise<void>
  /** Keeps an adapter on the GPU, or lets go of it. `root` is where the list says it came from. */
  pin(name: string, root: string, pinned: boolean): Promise<void>
  /** What is kept in this browser; null where nothing is. */
  readonly cache: BackendCache | null
  /** Resolves with a sentence when the engine is gone. */
  readonly lost: Promise<string>
  close(): Promise<void>
}

export interface CacheUsage {
  readonly bytes: number
  /** The browser will not clear it by itself when disk space gets short. */
  readonly isPersisted: boolean
}

export interface BackendCache {
  usage(): Promise<CacheUsage>
  clear(): Promise<void>
  /** Asks the browser never to clear it by itself. */
  persist(): Promise<void>
}
