/**
 * Where bytes come from: a file, a Blob, memory or a URL, read at random. Everything that parses a file in lorikeet
 * reads through this port, so that no format needs to know its host and no file is ever wholly in memory.
 */
import { abortReason, asParam, LorikeetError } from '../errors.ts'

export interface RandomAccess {
  /** Path or address, for messages. */
  readonly name: string
  /** Bytes in all. */
  readonly size: number
  /** Each read is a request to somewhere: few large ones are better than many. */
  readonly isFar?: boolean
  /** `length` bytes from `offset`, in a buffer of their own. Throws SourceError. */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>
  /** Fills `target` from `offset`, so that one buffer can serve a whole file. Throws SourceError. */
  readInto(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void>
  /** Idempotent. Reads after it are refused. */
  close(): Promise<void>
}

export type SourceErrorCode =
  | 'file_not_found'
  | 'file_unreadable'
  | 'file_truncated'
  | 'file_too_large'
  | 'path_refused'
  | 'read_out_of_range'

/** Bytes could not be had. `param` is the name of the source. */
export class SourceError extends LorikeetError {
  readonly code: SourceErrorCode
  override readonly param: string

  constructor(code: SourceErrorCode, name: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.param = asParam(name)
  }
}

/** One read in memory of its own; larger things go through readInto in slices. */
const MAX_READ_BYTES = 1 << 30

/** What all sources share: bounds, aborts, use after close. A source only says how to fill a buffer. */
export abstract class Source implements RandomAccess {
  readonly name: string
  readonly size: number
  #closed = false

  constructor(name: string, size: number) {
    this.name = name
    this.size = size
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    this.#check(offset, length)
    if (length > MAX_READ_BYTES) {
      throw new SourceError('file_too_large', this.name, `${this.name}: ${length} bytes are too many for one read.`)
    }
    const bytes = new Uint8Array(length)
    await this.readInto(offset, bytes, signal)
    return bytes
  }

  async readInto(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    this.#check(offset, target.byteLength)
    if (signal?.aborted) throw abortReason(signal)
    if (target.byteLength > 0) await this.fill(offset, target, signal)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.release()
  }

  /** Fills all of `target`, which is not empty and lies within the source, or throws SourceError. */
  protected abstract fill(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void>

  /** Gives back what the source holds. Called once. */
  protected async release(): Promise<void> {}

  /** The error for a source that ended early. */
  protected truncated(offset: number, wanted: number, got: number): SourceError {
    const message = `${this.name} ended early: ${got} of ${wanted} bytes at offset ${offset}. Was it changed or cut off?`
    return new SourceError('file_truncated', this.name, message)
  }

  #check(offset: number, length: number): void {
    if (this.#closed) throw new SourceError('file_unreadable', this.name, `${this.name} is closed.`)
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length)
    if (whole && offset >= 0 && length >= 0 && offset + length <= this.size) return
    const message = `${this.name} has ${this.size} bytes; ${length} at offset ${offset} are outside of it.`
    throw new SourceError('read_out_of_range', this.name, message)
  }
}

/** Bytes that are in memory already. They are not copied and must not change. */
export function bytesSource(name: string, bytes: Uint8Array): RandomAccess {
  return new BytesSource(name, bytes)
}

class BytesSource extends Source {
  #bytes: Uint8Array | null

  constructor(name: string, bytes: Uint8Array) {
    super(name, bytes.byteLength)
    this.#bytes = bytes
  }

  protected async fill(offset: number, target: Uint8Array): Promise<void> {
    target.set(this.#bytes!.subarray(offset, offset + target.byteLength))
  }

  protected override async release(): Promise<void> {
    this.#bytes = null
  }
}

/** A Blob or File (a file input, OPFS, IndexedDB). */
export function blobSource(name: string, blob: Blob): RandomAccess {
  return new BlobSource(name, blob)
}

class BlobSource extends Source {
  readonly #blob: Blob

  constructor(name: string, blob: Blob) {
    super(name, blob.size)
    this.#blob = blob
  }

  protected async fill(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    let filled = 0
    try {
      // A stream rather than arrayBuffer(): its pieces are small, so a slice exists once, in `target`.
      const stream = this.#blob.slice(offset, offset + target.byteLength).stream()
      filled = await fillFromStream(stream, target, signal)
    } catch (cause) {
      if (signal?.aborted) throw abortReason(signal)
      const message = `${this.name} could not be read: ${String(cause)}. Was the file changed or removed? Choose it again.`
      throw new SourceError('file_unreadable', this.name, message, { cause })
    }
    if (filled !== target.byteLength) throw this.truncated(offset, target.byteLength, filled)
  }
}

/** The pieces of `stream`, which is cancelled wherever the caller stops. (Safari cannot iterate a stream by itself.) */
export async function* streamPieces(
  stream: ReadableStream<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = stream.getReader()
  try {
    while (true) {
      if (signal?.aborted) throw abortReason(signal)
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    void reader.cancel().catch(() => {})
  }
}

/** Copies `stream` into `target`. Answers how many bytes the stream had, or one more than fit if it had too many. */
export async function fillFromStream(
  stream: ReadableStream<Uint8Array>,
  target: Uint8Array,
  signal?: AbortSignal,
  onFilled?: (filled: number) => void,
): Promise<number> {
  let filled = 0
  for await (const piece of streamPieces(stream, signal)) {
    const room = target.byteLength - filled
    target.set(piece.subarray(0, room), filled)
    if (piece.byteLength > room) return target.byteLength + 1
    filled += piece.byteLength
    onFilled?.(filled)
  }
  return filled
}
