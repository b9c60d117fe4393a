/** What a page may know and do about the files that are kept for it. */
import { type Locks, locksHere } from '../relay/lifeline.ts'
import { cacheRoot, fileNotes, keyOf, readFolderNote, removeFolder } from './place.ts'

export interface KeptFolder {
  /** Address of the model or adapter. */
  readonly url: string
  /** Bytes that are here, of `totalBytes` of the files that were begun. */
  readonly bytes: number
  readonly totalBytes: number
  /** Whether every file that was begun is here to its end. */
  readonly isComplete: boolean
  readonly usedAt: Date
}

export interface CacheUsage {
  /** Bytes of models and adapters. */
  readonly bytes: number
  /** All that this origin keeps, and about as much as it may, in bytes; 0 where the browser does not say. */
  readonly originBytes: number
  readonly quotaBytes: number
  /** The browser will not clear it of its own accord when disk space gets short. */
  readonly isPersisted: boolean
}

export class ModelCache {
  readonly #root: () => Promise<FileSystemDirectoryHandle | null>
  readonly #locks: Locks | null

  /** Of this origin; tests bring their own place. */
  constructor(root: () => Promise<FileSystemDirectoryHandle | null> = cacheRoot, locks: Locks | null = locksHere()) {
    this.#root = root
    this.#locks = locks
  }

  /** What is kept, the last used first. */
  async list(): Promise<readonly KeptFolder[]> {
    const found = await this.#folders()
    return found.map(({ kept }) => kept).sort((one, other) => other.usedAt.getTime() - one.usedAt.getTime())
  }

  async usage(): Promise<CacheUsage> {
    const storage = globalThis.navigator?.storage
    const { usage = 0, quota = 0 } = (await storage?.estimate?.().catch(() => null)) ?? {}
    const bytes = (await this.#folders()).reduce((sum, { kept }) => sum + kept.bytes, 0)
    const isPersisted = (await storage?.persisted?.().catch(() => false)) ?? false
    return { bytes, originBytes: usage, quotaBytes: quota, isPersisted }
  }

  /** Asks the browser never to clear what this origin keeps by itself. Firefox asks the reader; others decide alone. */
  async persist(): Promise<boolean> {
    return (await globalThis.navigator?.storage?.persist?.().catch(() => false)) ?? false
  }

  /** Deletes what is kept of an address, or everything; what is being read right now stays. Answers the bytes freed. */
  async clear(url?: string | URL): Promise<number> {
    const root = await this.#root()
    if (!root) return 0
    const only = url === undefined ? null : await keyOf(folderName(url))
    let freed = 0
    for (const { key, kept } of await this.#folders()) {
      if (only !== null && key !== only) continue
      if (await removeFolder(root, key, this.#locks)) freed += kept.bytes
    }
    return freed
  }

  async #folders(): Promise<{ readonly key: string; readonly kept: KeptFolder }[]> {
    const root = await this.#root()
    const found: { key: string; kept: KeptFolder }[] = []
    if (!root) return found
    for await (const [key, handle] of root.entries()) {
      if (handle.kind !== 'directory') continue
      const directory = handle as FileSystemDirectoryHandle
      const note = await readFolderNote(directory)
      const files = await fileNotes(directory)
      const bytes = files.reduce((sum, { kept }) => sum + kept, 0)
      const totalBytes = files.reduce((sum, { size }) => sum + (size ?? 0), 0)
      const { url, usedAt } = note ?? { url: '', usedAt: 0 }
      found.push({
        key,
        kept: { url, bytes, totalBytes, isComplete: bytes === totalBytes, usedAt: new Date(usedAt) },
      })
    }
    return found
  }
}

/** As CachedFolder names it: with a slash at the end and without a query. */
function folderName(url: string | URL): string {
  const { origin, pathname } = new URL(url, globalThis.document?.baseURI)
  return origin + (pathname.endsWith('/') ? pathname : `${pathname}/`)
}
