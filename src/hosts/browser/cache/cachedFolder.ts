/**
 * A folder at an address whose files are kept in OPFS: what is there is read from there, what is not is downloaded into it
 * and read as it arrives. Whether what is kept is still what the address has is asked when it can be answered quickly; with
 * no network, what is kept is what there is. Of several tabs that want a file one downloads it, and the others wait.
 */
import { abortReason } from '../../../errors.ts'
import { checkPath, type Folder, folderAddress, notFound, openIfPresent } from '../../../weights/folder.ts'
import { blobSource, type RandomAccess, Source } from '../../../weights/source.ts'
import type { Locks } from '../relay/lifeline.ts'
import { Download, isSame, plainTag } from './download.ts'
import { type FileNote, keyOf, readJson, useLock, writeFolderNote, writeJson } from './place.ts'
import { makeRoom } from './room.ts'

export interface FileProgress {
  readonly phase: 'download' | 'wait'
  readonly file: string
  readonly loadedBytes: number
  readonly totalBytes: number
}

/** All that is asked of the surroundings; tests bring their own. */
export interface CachePlace {
  readonly root: FileSystemDirectoryHandle
  readonly locks: Locks | null
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>
  readonly estimate: () => Promise<StorageEstimate>
  readonly isOnline: () => boolean
  /** Longest wait for an address to say whether a file has changed. Default 3 s. */
  readonly revalidateMs?: number
  readonly retries?: number
  readonly backoffMs?: number
  readonly checkpointBytes?: number
}

const REVALIDATE_MS = 3000

/** Opened once for each model or adapter that is loaded, and closed one way or the other when that is over. */
export class CachedFolder implements Folder {
  readonly name: string
  readonly #address: (path: string) => URL
  readonly #place: CachePlace
  readonly #onProgress: (progress: FileProgress) => void
  readonly #directory: FileSystemDirectoryHandle
  readonly #key: string
  readonly #giveUp = new AbortController()
  readonly #release: () => void
  readonly #downloads = new Map<string, Download>()
  /** Notes that have been compared with the address. */
  readonly #current = new Map<string, FileNote>()
  #isReachable = true

  private constructor(
    base: { readonly name: string; readonly address: (path: string) => URL },
    place: CachePlace,
    onProgress: (progress: FileProgress) => void,
    opened: { readonly directory: FileSystemDirectoryHandle; readonly key: string; readonly release: () => void },
  ) {
    this.name = base.name
    this.#address = base.address
    this.#place = place
    this.#onProgress = onProgress
    this.#directory = opened.directory
    this.#key = opened.key
    this.#release = opened.release
  }

  /** While it is open, nobody clears what it reads. */
  static async open(
    url: string,
    place: CachePlace,
    onProgress: (progress: FileProgress) => void = () => {},
  ): Promise<CachedFolder> {
    const base = folderAddress(url)
    const key = await keyOf(base.name)
    const release = await holdLock(place.locks, useLock(key), { mode: 'shared' })
    try {
      const directory = await place.root.getDirectoryHandle(key, { create: true })
      // Another tab may be writing the same note now.
      await writeFolderNote(directory, { url: base.name, usedAt: Date.now() }).catch(() => {})
      return new CachedFolder(base, place, onProgress, { directory, key, release: release! })
    } catch (error) {
      release!()
      throw error
    }
  }

  async open(path: string, signal?: AbortSignal): Promise<RandomAccess> {
    checkPath(this.name, path)
    const note = await this.#usable(path, signal)
    if (note) return await this.#openKept(path, note)
    const download = await this.#downloadOf(path, signal)
    if (!download) return await this.open(path, signal)
    const size = await orAborted(download.size, signal)
    return new ArrivingSource(this.#label(path), size, download, async () => this.#openKept(path, await download.done))
  }

  async has(path: string, signal?: AbortSignal): Promise<boolean> {
    const source = await openIfPresent(this, path, signal)
    await source?.close()
    return source !== null
  }

  /** Waits for what is still on its way, then lets go. That something of it fails no longer matters: a part is kept. */
  async complete(): Promise<void> {
    await Promise.allSettled([...this.#downloads.values()].map(({ done }) => done))
    this.#release()
  }

  /** Stops what is on its way, keeping what has come. */
  async abandon(): Promise<void> {
    this.#giveUp.abort()
    await this.complete()
  }

  #label(path: string): string {
    return `${this.name}${path}`
  }

  async #openKept(path: string, { data, size }: FileNote): Promise<RandomAccess> {
    if (size === null) throw notFound(this.name, path)
    return blobSource(this.#label(path), await (await this.#directory.getFileHandle(data)).getFile())
  }

  /** The note of a file that is wholly here (or known not to exist) and not known to be outdated. */
  async #usable(path: string, signal?: AbortSignal): Promise<FileNote | null> {
    const known = this.#current.get(path)
    if (known) return known
    const note = await readJson<FileNote>(this.#directory, await noteName(path))
    if (!note || (note.size !== null && note.kept < note.size)) return null
    if (!(await this.#isCurrent(path, note, signal))) return null
    this.#current.set(path, note)
    return note
  }

  /** Asks the address whether it still has what is kept. No answer, or none in time, is no objection. */
  async #isCurrent(path: string, note: FileNote, signal?: AbortSignal): Promise<boolean> {
    const { isOnline, fetch, revalidateMs = REVALIDATE_MS } = this.#place
    if (!this.#isReachable || !isOnline()) return true
    let response: Response
    try {
      const limit = AbortSignal.timeout(revalidateMs)
      const until = signal ? AbortSignal.any([signal, limit]) : limit
      response = await fetch(this.#address(path).href, { method: 'HEAD', cache: 'no-store', signal: until })
    } catch {
      if (signal?.aborted) throw abortReason(signal)
      this.#isReachable = false
      return true
    }
    if (response.status === 404 || response.status === 410) return note.size === null
    if (!response.ok) return true
    if (note.size === null) return false
    return isSameVersion(response, note)
  }

  /**
   * The download of a file, begun here or under way; null when somebody else has brought it meanwhile. The file's lock is
   * held until the download is over.
   */
  async #downloadOf(path: string, signal?: AbortSignal): Promise<Download | null> {
    const running = this.#downloads.get(path)
    if (running) return running
    const { locks } = this.#place
    const key = await keyOf(path)
    const lock = `lorikeet:file:${this.#key}:${key}`
    let release = await holdLock(locks, lock, { ifAvailable: true })
    if (!release) {
      this.#onProgress({ phase: 'wait', file: path, loadedBytes: 0, totalBytes: 0 })
      const until = signal ? AbortSignal.any([signal, this.#giveUp.signal]) : this.#giveUp.signal
      release = (await holdLock(locks, lock, { signal: until }))!
    }
    try {
      const note = await readJson<FileNote>(this.#directory, await noteName(path))
      const isComplete = note !== null && (note.size === null || note.kept === note.size)
      if (isComplete && (await this.#isCurrent(path, note, signal))) {
        this.#current.set(path, note)
        release()
        return null
      }
      if (!isComplete) return this.#begin(path, note, note?.data ?? `${key}.a`, release)
      // Another version does not go over this one, which somebody may be reading, but takes its place in the end.
      const download = this.#begin(path, null, note.data === `${key}.a` ? `${key}.b` : `${key}.a`, release)
      download.done.then(() => this.#directory.removeEntry(note.data)).catch(() => {})
      return download
    } catch (error) {
      release()
      throw error
    }
  }

  #begin(path: string, note: FileNote | null, data: string, release: () => void): Download {
    const { root, locks, fetch, estimate, retries, backoffMs, checkpointBytes } = this.#place
    const report = (loadedBytes: number, totalBytes: number): void =>
      this.#onProgress({ phase: 'download', file: path, loadedBytes, totalBytes })
    const download = new Download({
      url: this.#address(path),
      path: this.#label(path),
      directory: this.#directory,
      ...{ note, data, fetch },
      signal: this.#giveUp.signal,
      onBytes: report,
      makeRoom: (bytes) => makeRoom(bytes, { root, locks, estimate, file: this.#label(path), folderKey: this.#key }),
      saveNote: async (saved) => await writeJson(this.#directory, await noteName(path), { ...saved, path }),
      ...(retries !== undefined && { retries }),
      ...(backoffMs !== undefined && { backoffMs }),
      ...(checkpointBytes !== undefined && { checkpointBytes }),
    })
    this.#downloads.set(path, download)
    const over = (): void => {
      this.#downloads.delete(path)
      release()
    }
    download.done.then((complete) => {
      this.#current.set(path, complete)
      over()
    }, over)
    return download
  }
}

/** Reads from a download while it lasts, then from what it left. */
class ArrivingSource extends Source {
  readonly #download: Download
  readonly #openKept: () => Promise<RandomAccess>
  #kept: Promise<RandomAccess> | null = null

  constructor(name: string, size: number, download: Download, openKept: () => Promise<RandomAccess>) {
    super(name, size)
    this.#download = download
    this.#openKept = openKept
  }

  protected async fill(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (await orAborted(this.#download.readInto(offset, target), signal)) return
    this.#kept ??= this.#openKept()
    await (await this.#kept).readInto(offset, target, signal)
  }

  protected override async release(): Promise<void> {
    await (await this.#kept)?.close()
  }
}

function isSameVersion({ headers, type }: Response, note: FileNote): boolean {
  const etag = headers.get('etag')
  const lastModified = headers.get('last-modified')
  if (etag === null && lastModified === null) {
    // A server that marks no versions; a length says something where it is not that of a compressed answer.
    const length = type === 'basic' && !headers.has('content-encoding') ? headers.get('content-length') : null
    return length === null || Number(length) === note.size
  }
  const hasSameTag = isSame(etag && plainTag(etag), note.etag && plainTag(note.etag))
  return hasSameTag && isSame(lastModified, note.lastModified)
}

async function noteName(path: string): Promise<string> {
  return `${await keyOf(path)}.json`
}

/** Takes a lock, and answers how to give it back; null if it was to be had at once and was not. */
async function holdLock(locks: Locks | null, name: string, options: LockOptions): Promise<(() => void) | null> {
  if (!locks) return () => {}
  return await new Promise<(() => void) | null>((resolve, reject) => {
    locks
      .request(name, options, async (lock) => {
        if (!lock) return resolve(null)
        await new Promise<void>((release) => resolve(release))
      })
      .catch(reject)
  })
}

async function orAborted<Value>(work: Promise<Value>, signal?: AbortSignal): Promise<Value> {
  if (!signal) return await work
  let onAbort = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(abortReason(signal))
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
