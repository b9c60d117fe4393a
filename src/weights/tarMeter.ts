/**
 * Follows a tar archive that comes out of its compression piece by piece, and ends it as soon as it is none, or is more than
 * an adapter can be: a small file can unpack to any size. What is kept is one large file, which must begin as weights do, and
 * little beside it.
 */
import { BLOCK_BYTES, checkSum, MAX_ENTRIES, numberField, TarError } from './tar.ts'
import { looksLikeZipHeader } from './zip.ts'

/** All entries but the largest together: a config, and what else lies there. */
const MAX_BESIDE_BYTES = 4 * 1024 * 1024
/** Behind the archive's end; tar pads to ten kilobytes. */
const MAX_PADDING_BYTES = 1024 * 1024

export class TarMeter {
  readonly #file: string
  readonly #maxBytes: number
  readonly #header = new Uint8Array(BLOCK_BYTES)
  #headerBytes = 0
  /** Of the entry that passes, its padding included. */
  #contentLeft = 0
  /** First bytes of the content of a large entry that are still to be seen. */
  #signature: number[] | null = null
  #numEntries = 0
  #largest = 0
  #total = 0
  #padding: number | null = null

  /** `maxBytes`: most that the largest entry may have. */
  constructor(file: string, maxBytes: number) {
    this.#file = file
    this.#maxBytes = maxBytes
  }

  /** How many bytes of the next piece belong to the archive; what follows them is padding. @throws TarError */
  take(piece: Uint8Array): number {
    for (let at = 0; at < piece.byteLength; ) {
      if (this.#padding !== null) {
        this.#padding += piece.byteLength - at
        if (this.#padding > MAX_PADDING_BYTES) throw this.#error('it goes on behind its end')
        return at
      }
      const left = piece.byteLength - at
      if (this.#contentLeft > 0) {
        const length = Math.min(left, this.#contentLeft)
        this.#checkContent(piece.subarray(at, at + length))
        this.#contentLeft -= length
        at += length
      } else {
        const length = Math.min(left, BLOCK_BYTES - this.#headerBytes)
        this.#header.set(piece.subarray(at, at + length), this.#headerBytes)
        this.#headerBytes += length
        at += length
        if (this.#headerBytes === BLOCK_BYTES) this.#begin()
      }
    }
    return piece.byteLength
  }

  /** A header is there. */
  #begin(): void {
    this.#headerBytes = 0
    if (this.#header.every((byte) => byte === 0)) {
      this.#padding = 0
      return
    }
    checkSum(this.#file, this.#header)
    const size = numberField(this.#file, this.#header, 124, 12)
    if (++this.#numEntries > MAX_ENTRIES) throw this.#error(`it has more than ${MAX_ENTRIES} entries`)
    this.#total += size
    this.#largest = Math.max(this.#largest, size)
    if (this.#largest > this.#maxBytes)
      throw this.#error(`an entry has ${size} bytes; at most ${this.#maxBytes} are read`)
    const beside = this.#total - this.#largest
    if (beside > MAX_BESIDE_BYTES) throw this.#error(`it holds ${beside} bytes beside its largest entry`)
    this.#contentLeft = Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
    this.#signature = size > MAX_BESIDE_BYTES ? [] : null
  }

  #checkContent(bytes: Uint8Array): void {
    if (this.#signature === null) return
    this.#signature.push(...bytes.subarray(0, 4 - this.#signature.length))
    if (this.#signature.length < 4) return
    if (!looksLikeZipHeader(Uint8Array.from(this.#signature)))
      throw this.#error('its largest entry is no file of PyTorch')
    this.#signature = null
  }

  #error(problem: string): TarError {
    return new TarError(this.#file, null, problem)
  }
}
