/**
 * A file that is compressed with gzip, unpacked into memory: what lies in it can only be read at random once all of it is
 * there. How much that may be is the caller's to say, since a small file can unpack to any size.
 */
import { abortReason, LorikeetError } from '../errors.ts'
import { type RandomAccess, Source, SourceError } from './source.ts'

/** The file is not what gzip writes, or was cut off. `param` is the file. */
export class GzipError extends LorikeetError {
  readonly code = 'gzip_invalid'
  override readonly param: string

  constructor(file: string, options?: ErrorOptions) {
    super(`${file} is compressed with gzip, and broken or cut off.`, options)
    this.param = file
  }
}

/** What is read and unpacked at a time. */
const PIECE_BYTES = 256 * 1024

export async function isGzip(source: RandomAccess, signal?: AbortSignal): Promise<boolean> {
  if (source.size < 2) return false
  const [first, second] = await source.read(0, 2, signal)
  return first === 0x1f && second === 0x8b
}

/**
 * What `source` holds, which stays the caller's to close.
 * @throws GzipError; SourceError: `file_too_large` when it is more than `maxBytes`; the signal's reason
 */
export async function gunzip(source: RandomAccess, maxBytes: number, signal?: AbortSignal): Promise<RandomAccess> {
  const { readable, writable } = new DecompressionStream('gzip')
  const feeding = feed(source, writable.getWriter(), signal)
  // Told by the reader too; nobody may be waiting for it when it fails.
  feeding.catch(() => undefined)
  const reader = readable.getReader()
  const pieces: Uint8Array[] = []
  let size = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      size += value.byteLength
      if (size > maxBytes) throw tooLarge(source.name, maxBytes)
      pieces.push(value)
    }
    await feeding
  } catch (cause) {
    await reader.cancel(cause).catch(() => undefined)
    if (signal?.aborted) throw abortReason(signal)
    throw cause instanceof LorikeetError ? cause : new GzipError(source.name, { cause })
  }
  return new PiecesSource(source.name, size, pieces)
}

async function feed(
  source: RandomAccess,
  writer: WritableStreamDefaultWriter<BufferSource>,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    for (let at = 0; at < source.size; at += PIECE_BYTES) {
      const piece = await source.read(at, Math.min(PIECE_BYTES, source.size - at), signal)
      await writer.write(piece as Uint8Array<ArrayBuffer>)
    }
    await writer.close()
  } catch (error) {
    await writer.abort(error).catch(() => undefined)
    throw error
  }
}

function tooLarge(file: string, maxBytes: number): SourceError {
  const message = `${file} unpacks to more than the ${maxBytes} bytes that are allowed. Unpack it to a plain file first.`
  return new SourceError('file_too_large', file, message)
}

/** Pieces of memory one after the other. */
class PiecesSource extends Source {
  readonly #pieces: readonly Uint8Array[]
  /** Where each begins. */
  readonly #starts: readonly number[]

  constructor(name: string, size: number, pieces: readonly Uint8Array[]) {
    super(name, size)
    this.#pieces = pieces
    let start = 0
    this.#starts = pieces.map(({ byteLength }) => {
      start += byteLength
      return start - byteLength
    })
  }

  protected async fill(offset: number, target: Uint8Array): Promise<void> {
    let filled = 0
    for (let i = this.#pieceAt(offset); filled < target.byteLength; i++) {
      const from = offset + filled - this.#starts[i]!
      const part = this.#pieces[i]!.subarray(from, from + target.byteLength - filled)
      target.set(part, filled)
      filled += part.byteLength
    }
  }

  /** The last piece that begins at or before `offset`. */
  #pieceAt(offset: number): number {
    let [low, high] = [0, this.#starts.length - 1]
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (this.#starts[middle]! <= offset) low = middle
      else high = middle - 1
    }
    return low
  }
}
