/**
 * A file that is compressed with gzip, unpacked into memory: what lies in it can only be read at random once all of it is
 * there. What of it is kept is the caller's to say, since a small file can unpack to any size.
 */
import { abortReason, LorikeetError } from '../errors.ts'
import { type RandomAccess, Source } from './source.ts'

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

/** Says, piece by piece, how many bytes of its beginning are kept. Throws to end it. */
export type Keep = (piece: Uint8Array) => number

/**
 * What `source` holds, which stays the caller's to close.
 * @throws GzipError; what `keep` throws; the signal's reason
 */
export async function gunzip(source: RandomAccess, keep: Keep, signal?: AbortSignal): Promise<RandomAccess> {
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
      const kept = keep(value)
      if (kept > 0) pieces.push(kept < value.byteLength ? value.slice(0, kept) : value)
      size += kept
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
