/** The engine in this tab: a model and its adapters in a worker on this machine's own GPU. */
import { ApiError, wordsOf } from './apiError.ts'
import type { Backend, CacheUsage, LoadWish } from './backend.ts'
import type { ModelBeside } from './models.ts'
import type { AdapterSource, CheckReport, Device } from './types.ts'

/** What loading says of itself as it goes. */
export interface LoadProgress {
  readonly phase: string
  readonly file?: string
  readonly loadedBytes: number
  /** 0 while it is not known. */
  readonly totalBytes: number
  readonly fromCache: boolean
}

/** What of `openInWorker`'s bird the page uses. */
export interface TabBird {
  readonly fetch: (input: string, init?: RequestInit) => Promise<Response>
  readonly modelNames: readonly string[]
  readonly device: Device
  readonly adapters: {
    load(name: string, source: URL | readonly File[], options?: LoadWish): Promise<unknown>
    unload(name: string): Promise<unknown>
    check(source: URL | readonly File[]): Promise<CheckReport>
  }
  readonly cache: { usage(): Promise<CacheUsage>; clear(): Promise<unknown>; persist(): Promise<unknown> }
  readonly lost: Promise<unknown>
  close(): Promise<void>
}

export interface TabOptions {
  readonly model: URL
  readonly adapters: readonly { readonly name: string; readonly source: URL }[]
  readonly onProgress: (progress: LoadProgress) => void
  readonly signal: AbortSignal
}

export type OpenTab = (options: TabOptions) => Promise<TabBird>

/** @throws ApiError with lorikeet's own words when the model cannot be opened here */
export async function tabBackend(
  open: OpenTab,
  model: ModelBeside,
  base: string,
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<Backend> {
  const folder = new URL(model.path, base)
  const adapters = model.adapters.map(({ name, path }) => ({ name, source: new URL(path, base) }))
  const bird = await inWords(open({ model: folder, adapters, onProgress, signal }))
  /** Where each adapter came from, to bring it again when it is pinned. */
  const sources = new Map<string, URL | readonly File[]>(adapters.map(({ name, source }) => [name, source]))
  const load = async (name: string, source: URL | readonly File[], wish: LoadWish): Promise<void> => {
    await inWords(bird.adapters.load(name, source, wish))
    sources.set(name, source)
  }
  return {
    kind: 'tab',
    address: null,
    maxStreams: Number.POSITIVE_INFINITY,
    sources: ['files', 'url'],
    model: folder.href,
    fetch: (path, init) => bird.fetch(`http://lorikeet/${path}`, init),
    check: async (source) => await inWords(bird.adapters.check(sourceOf(source, base))),
    load: async (source, name, wish = {}) => await load(name, sourceOf(source, base), wish),
    async unload(name) {
      await inWords(bird.adapters.unload(name))
      sources.delete(name)
    },
    async pin(name, _root, pinned) {
      const source = sources.get(name)
      if (!source) throw new ApiError(`Where ${name} came from is not known, so it cannot be pinned.`)
      await load(name, source, { pinned, replace: true })
    },
    cache: {
      usage: () => bird.cache.usage(),
      clear: async () => void (await bird.cache.clear()),
      persist: async () => void (await bird.cache.persist()),
    },
    lost: bird.lost.then(lossInWords, lossInWords),
    close: () => bird.close(),
  }
}

function sourceOf(source: AdapterSource, base: string): URL | readonly File[] {
  if (source.type === 'files') return source.files
  if (source.type === 'path')
    throw new ApiError('A tab knows no paths: drop the folder, choose it, or give an address.')
  if (!URL.canParse(source.url, base)) throw new ApiError(`${source.url} is not an address.`, null, 'url')
  return new URL(source.url, base)
}

async function inWords<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    const { status, param } = error as { status?: unknown; param?: unknown }
    throw new ApiError(
      wordsOf(error),
      typeof status === 'number' ? status : null,
      typeof param === 'string' ? param : null,
    )
  }
}

function lossInWords(reason: unknown): string {
  const message = (reason as { message?: unknown } | null)?.message
  return typeof message === 'string' && message !== '' ? message : 'The engine in this tab has stopped.'
}
