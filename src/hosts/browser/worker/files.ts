/** The folders that messages name, readable in the worker; those at addresses are kept in OPFS where there is room for it. */
import { folderOfFiles } from '../../../adapters.ts'
import { directoryHandleFolder } from '../../../weights/directoryHandle.ts'
import { type Folder, memoryFolder, urlFolder } from '../../../weights/folder.ts'
import { CachedFolder, type CachePlace } from '../cache/cachedFolder.ts'
import { cacheRoot } from '../cache/place.ts'
import { portFolder } from '../relay/folderPort.ts'
import { locksHere } from '../relay/lifeline.ts'
import type { CacheData, OpenProgress, SourceData } from '../relay/protocol.ts'

/** Progress of many small pieces is told at most this often. */
const REPORT_MS = 50

export class Files {
  readonly #place: CachePlace | null
  readonly #onProgress: (progress: OpenProgress) => void
  #isFromCache: boolean
  readonly #untold = new Map<OpenProgress['phase'], OpenProgress>()
  #toldAt = 0
  #timer: ReturnType<typeof setTimeout> | null = null

  private constructor(place: CachePlace | null, onProgress: (progress: OpenProgress) => void) {
    this.#place = place
    this.#onProgress = onProgress
    this.#isFromCache = place !== null
  }

  /** `cache` is null where nothing is to be kept; where the browser cannot keep anything, nothing is. */
  static async open(cache: CacheData | null, onProgress: (progress: OpenProgress) => void): Promise<Files> {
    const root = cache && (await cacheRoot())
    if (!root) return new Files(null, onProgress)
    const place: CachePlace = {
      ...cache,
      root,
      locks: locksHere(),
      fetch: (url, init) => fetch(url, init),
      estimate: async () => (await navigator.storage.estimate?.()) ?? {},
      isOnline: () => navigator.onLine,
    }
    return new Files(place, onProgress)
  }

  /** Loads something out of a folder; what of it is to be kept has come to its end then, or is given up if loading failed. */
  async load<Value>(source: SourceData, work: (folder: Folder) => Promise<Value>): Promise<Value> {
    const folder = await this.#folder(source)
    if (!(folder instanceof CachedFolder)) return await work(folder)
    try {
      const value = await work(folder)
      await folder.complete()
      return value
    } catch (error) {
      await folder.abandon()
      throw error
    }
  }

  /** Tells of it at once, or a little later if something was told of just now; of several in a phase, the last one. */
  report(progress: Omit<OpenProgress, 'fromCache'>): void {
    if (progress.phase === 'download') this.#isFromCache = false
    this.#untold.set(progress.phase, { ...progress, fromCache: this.#isFromCache })
    const { loadedBytes, totalBytes } = progress
    const isBetween = loadedBytes > 0 && loadedBytes !== totalBytes
    const wait = this.#toldAt + REPORT_MS - performance.now()
    if (!isBetween || wait <= 0) this.#tell()
    else this.#timer ??= setTimeout(() => this.#tell(), wait)
  }

  #tell(): void {
    clearTimeout(this.#timer ?? undefined)
    this.#timer = null
    this.#toldAt = performance.now()
    const untold = [...this.#untold.values()]
    this.#untold.clear()
    for (const progress of untold) this.#onProgress(progress)
  }

  async #folder(source: SourceData): Promise<Folder> {
    switch (source.type) {
      case 'address':
        if (!this.#place) return urlFolder(source.url)
        return await CachedFolder.open(source.url, this.#place, (progress) => this.report(progress))
      case 'files':
        return memoryFolder(source.name, Object.fromEntries(source.files))
      case 'directory':
        return directoryHandleFolder(source.handle)
      case 'folder':
        return portFolder(source.name, source.canList, source.port)
      case 'adapter':
        return folderOfFiles('adapter', source.files)
    }
  }
}
