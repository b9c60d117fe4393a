/**
 * A file on its way from its address into OPFS, from its first missing byte to its end, in order. What has arrived can be
 * read while the rest comes. What was cut off (a closed tab, a lost network) goes on from the last byte that is known to
 * be safe; what is on disk is never in the heap.
 */
import { abortReason } from '../../../errors.ts'
import { describe, NetworkFailure, RangeClient } from '../../../weights/rangeClient.ts'
import { SourceError, streamPieces } from '../../../weights/source.ts'
import { CacheFullError, type FileNote, openSync, type SyncFile } from './place.ts'

/** Bytes between two moments at which all that arrived is known to be on disk: what a crash costs at most. */
const CHECKPOINT_BYTES = 8 << 20

/** A file that is another each time it is asked for is begun anew, but not for ever. */
const MOST_RESTARTS = 3

export interface DownloadOptions {
  readonly url: URL
  readonly path: string
  readonly directory: FileSystemDirectoryHandle
  /** Of an earlier try that was cut off. */
  readonly note: FileNote | null
  /** Where the bytes go, when there is no note that says where they are. */
  readonly data: string
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>
  readonly signal: AbortSignal
  readonly onBytes: (loadedBytes: number, totalBytes: number) => void
  /** Called before anything is written, with what is still to come. @throws CacheFullError */
  readonly makeRoom: (bytes: number) => Promise<void>
  readonly saveNote: (note: FileNote) => Promise<void>
  readonly retries?: number
  readonly backoffMs?: number
  readonly checkpointBytes?: number
}

/** The address has answered with something else than what is here: begin anew. */
class Outdated extends Error {}

export class Download {
  /** Its size, known before its end where the server answers ranges. Rejects with SourceError, CacheFullError, … */
  readonly size: Promise<number>
  /** Resolves with the note of the complete file. */
  readonly done: Promise<FileNote>
  readonly #options: DownloadOptions
  readonly #client: RangeClient
  #file: SyncFile | null = null
  #note: FileNote
  #arrived = 0
  #isComplete = false
  /** Somebody may have read of it: from now on it must stay the same file. */
  #isAnnounced = false
  #announce: (size: number) => void = () => {}
  /** Who waits until so many bytes have arrived. */
  #waiting: { readonly end: number; readonly resolve: () => void }[] = []
  #numRestarts = 0

  constructor(options: DownloadOptions) {
    const { url, path, note, data, fetch, retries, backoffMs } = options
    this.#options = options
    this.#note = note ?? { path, size: null, kept: 0, data, etag: null, lastModified: null }
    this.#client = new RangeClient(url, {
      // The HTTP cache would keep a second copy.
      fetch: (address, init) => fetch(address, { ...init, cache: 'no-store' }),
      ...(retries !== undefined && { retries }),
      ...(backoffMs !== undefined && { backoffMs }),
    })
    const announced = new Promise<number>((resolve) => {
      this.#announce = (size) => {
        this.#isAnnounced = true
        resolve(size)
      }
    })
    this.done = this.#run()
    this.size = Promise.race([announced, this.done.then(({ size }) => size!)])
    // Whoever needs them awaits them; nobody may, when the download was given up.
    this.size.catch(() => {})
  }

  /** Fills `target` from `offset`, when that has arrived. False: the file is complete and to be read from disk. */
  async readInto(offset: number, target: Uint8Array): Promise<boolean> {
    const end = offset + target.byteLength
    if (end > this.#arrived && !this.#isComplete) {
      const arrival = new Promise<void>((resolve) => this.#waiting.push({ end, resolve }))
      await Promise.race([arrival, this.done])
    }
    if (!this.#file) return false
    this.#file.read(target, { at: offset })
    return true
  }

  async #run(): Promise<FileNote> {
    const { directory, signal } = this.#options
    try {
      await this.#openFile()
      // A try that brought bytes before it failed is followed by as many new ones.
      while (!(await this.#client.retrying(signal, () => this.#attempt()))) {}
      await this.#save()
      this.#isComplete = true
      return this.#note
    } catch (error) {
      await this.#keepPart(error)
      throw error
    } finally {
      this.#file?.close()
      this.#file = null
      this.#wake()
      if (this.#note.size === null) await directory.removeEntry(this.#note.data).catch(() => {})
    }
  }

  async #openFile(): Promise<void> {
    const { directory } = this.#options
    const file = await openSync(await directory.getFileHandle(this.#note.data, { create: true }))
    this.#file = file
    // What came after the last checkpoint may be there or not.
    this.#arrived = Math.min(this.#note.kept, file.getSize())
    file.truncate(this.#arrived)
  }

  /** Asks for the rest. True: it has all come; false: some has, and the network failed. */
  async #attempt(): Promise<boolean> {
    const start = this.#arrived
    try {
      const response = await this.#client.request(start, null, this.#options.signal)
      await this.#begin(response)
      await this.#take(response)
      return true
    } catch (error) {
      if (error instanceof Outdated) {
        if (!this.#isAnnounced && ++this.#numRestarts < MOST_RESTARTS) {
          this.#restart()
          return false
        }
        const message = `${this.#client.name} changed while it was read, or its server stopped answering ranges. Try again.`
        throw new SourceError('file_unreadable', this.#client.name, message)
      }
      if (error instanceof NetworkFailure && this.#arrived > start) return false
      throw error
    }
  }

  /** Compares the answer with what is here, and takes down what it says of the file. */
  async #begin(response: Response): Promise<void> {
    const etag = response.headers.get('etag')
    const lastModified = response.headers.get('last-modified')
    const drop = (): Outdated => {
      void response.body?.cancel().catch(() => {})
      return new Outdated()
    }
    if (response.status === 416) {
      if (this.#arrived > 0) throw drop()
      this.#note = { ...this.#note, size: 0, etag, lastModified }
      return
    }
    if (response.status === 200) {
      // The server sends everything, whatever was asked for. How much that is, only its end says: it may be compressed.
      if (this.#isAnnounced) throw drop()
      this.#restart()
      this.#note = { ...this.#note, etag, lastModified }
      return
    }
    const { start, total } = this.#rangeOf(response)
    const isSame = start === this.#arrived && (this.#arrived === 0 || this.#isSameFile(total, etag, lastModified))
    if (!isSame) throw drop()
    if (this.#note.size === null || this.#arrived === 0) {
      this.#note = { ...this.#note, size: total, etag, lastModified }
    }
    await this.#options.makeRoom(total - this.#arrived)
    this.#announce(total)
  }

  /** From another origin a page may not see Content-Range, but it always sees the length. */
  #rangeOf(response: Response): { readonly start: number; readonly total: number } {
    const length = Number(response.headers.get('content-length') ?? Number.NaN)
    if (response.headers.has('content-range') || !Number.isSafeInteger(length))
      return this.#client.contentRange(response)
    return { start: this.#arrived, total: this.#arrived + length }
  }

  #isSameFile(total: number, etag: string | null, lastModified: string | null): boolean {
    const { size, etag: oldTag, lastModified: oldDate } = this.#note
    if (size !== null && size !== total) return false
    return isSame(oldTag && plainTag(oldTag), etag && plainTag(etag)) && isSame(oldDate, lastModified)
  }

  async #take(response: Response): Promise<void> {
    const { size } = this.#note
    const { signal, checkpointBytes = CHECKPOINT_BYTES } = this.#options
    if (response.status !== 416 && response.body) {
      for await (const piece of this.#pieces(response.body)) {
        if (signal.aborted) throw abortReason(signal)
        if (size !== null && this.#arrived + piece.byteLength > size) throw new Outdated()
        this.#write(piece)
        if (size !== null && this.#arrived - this.#note.kept >= checkpointBytes) await this.#save()
      }
    }
    if (size !== null && this.#arrived < size) throw new NetworkFailure(`${this.#arrived} of ${size} bytes arrived`)
    this.#note = { ...this.#note, size: this.#arrived }
  }

  async *#pieces(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal } = this.#options
    try {
      yield* streamPieces(body, signal)
    } catch (cause) {
      throw signal.aborted ? abortReason(signal) : new NetworkFailure(describe(cause), { cause })
    }
  }

  #write(piece: Uint8Array): void {
    const { path, onBytes } = this.#options
    let written = 0
    try {
      written = this.#file!.write(piece, { at: this.#arrived })
    } catch (cause) {
      const isFull = (cause as DOMException).name === 'QuotaExceededError'
      if (isFull) throw new CacheFullError(path, piece.byteLength, 0, { cause })
      throw new SourceError('file_unreadable', path, `${path} could not be kept: ${describe(cause)}.`, { cause })
    }
    if (written < piece.byteLength) throw new CacheFullError(path, piece.byteLength, written)
    this.#arrived += written
    onBytes(this.#arrived, this.#note.size ?? 0)
    this.#wake()
  }

  #restart(): void {
    this.#arrived = 0
    this.#file!.truncate(0)
    this.#note = { ...this.#note, size: null, kept: 0, etag: null, lastModified: null }
  }

  async #save(): Promise<void> {
    this.#file!.flush()
    this.#note = { ...this.#note, kept: this.#arrived }
    await this.#options.saveNote(this.#note)
  }

  /** What came before a failure is kept for the next try; that there is no such file is kept, too. */
  async #keepPart(error: unknown): Promise<void> {
    const isMissing = error instanceof SourceError && error.code === 'file_not_found'
    if (isMissing) {
      this.#note = { ...this.#note, size: null, kept: 0, etag: null, lastModified: null }
      await this.#options.saveNote(this.#note).catch(() => {})
    } else if (this.#file && this.#note.size !== null) {
      await this.#save().catch(() => {})
    }
  }

  #wake(): void {
    const ready = this.#waiting.filter(({ end }) => this.#isComplete || end <= this.#arrived)
    this.#waiting = this.#waiting.filter((each) => !ready.includes(each))
    for (const { resolve } of ready) resolve()
  }
}

/** Without what a server adds for a compressed answer: nginx makes the tag weak, Apache appends -gzip. */
export function plainTag(etag: string): string {
  return etag.replace(/^W\//, '').replace(/-(gzip|br|zstd)"$/, '"')
}

/** What is not known of one of the two says nothing. */
export function isSame(one: string | null, other: string | null): boolean {
  return one === null || other === null || one === other
}
