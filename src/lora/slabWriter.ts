/**
 * Carries packed bytes into a slab in the order of their places. Small ones are gathered in one buffer, which goes to the
 * device when it is full; large ones go as they are. What lies between them is zero. No write is larger than a piece, and
 * behind each the steps have their turn.
 */
import { abortReason, invariant } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { UploadTurns } from './uploadTurns.ts'

/** Large enough to make the cost of a write small, small enough to be a small part of a step. */
const PIECE_BYTES = 256 * 1024
/** From here on a write of its own costs less than a copy. */
const LARGE_BYTES = 128 * 1024

/** Bytes and where they belong, counted from the start of the layout they are part of. */
export interface PackedPiece {
  /** A multiple of 4. */
  readonly offset: number
  /** Valid until the next piece is asked for. */
  readonly bytes: Uint8Array
}

export class SlabWriter {
  readonly #gpu: Gpu
  readonly #turns: UploadTurns
  readonly #slab: Tracked
  readonly #start: number
  readonly #signal: AbortSignal | undefined
  readonly #gathered: Uint8Array
  /** Bytes of the layout that are on their way to the device, and those that were added. */
  #sent = 0
  #added = 0

  /** Writes behind `start` bytes of `slab`. `buffer` is its own until end(). */
  constructor(gpu: Gpu, turns: UploadTurns, slab: Tracked, start: number, buffer: Uint8Array, signal?: AbortSignal) {
    this.#gpu = gpu
    this.#turns = turns
    this.#slab = slab
    this.#start = start
    this.#gathered = buffer
    this.#signal = signal
    turns.begin()
  }

  static makeBuffer(): Uint8Array {
    return new Uint8Array(PIECE_BYTES)
  }

  /**
   * Adds what comes next. A promise is to be waited for before anything else is added.
   * @throws GpuLostError, the signal's reason
   */
  add({ offset, bytes }: PackedPiece): Promise<void> | null {
    const at = offset - this.#sent
    const end = at + bytes.byteLength
    if (end > this.#gathered.byteLength || bytes.byteLength >= LARGE_BYTES) return this.#addLarge(offset, bytes)
    this.#fillTo(offset)
    this.#gathered.set(bytes, at)
    this.#added = offset + bytes.byteLength
    return null
  }

  /** Everything up to `byteLength` is on its way. @throws GpuLostError, the signal's reason */
  async end(byteLength: number): Promise<void> {
    await this.#skipTo(byteLength)
    await this.#send()
  }

  async #addLarge(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#skipTo(offset)
    if (bytes.byteLength < LARGE_BYTES || offset % 4 !== 0) {
      for (let done = 0; done < bytes.byteLength; ) {
        if (this.#room === 0) await this.#send()
        const length = Math.min(bytes.byteLength - done, this.#room)
        this.#gathered.set(bytes.subarray(done, done + length), this.#added - this.#sent)
        this.#added += length
        done += length
      }
      return
    }
    await this.#send()
    const whole = bytes.byteLength & ~3
    for (let done = 0; done < whole; done += PIECE_BYTES) {
      const piece = bytes.subarray(done, Math.min(done + PIECE_BYTES, whole))
      await this.#upload(offset + done, piece)
      this.#added += piece.byteLength
      this.#sent = this.#added
    }
    this.#gathered.set(bytes.subarray(whole))
    this.#added += bytes.byteLength - whole
  }

  get #room(): number {
    return this.#gathered.byteLength - (this.#added - this.#sent)
  }

  /** Zeros, for which there is room. */
  #fillTo(offset: number): void {
    invariant(offset >= this.#added, 'Packed bytes come out of order')
    if (offset > this.#added) this.#gathered.fill(0, this.#added - this.#sent, offset - this.#sent)
    this.#added = offset
  }

  async #skipTo(offset: number): Promise<void> {
    while (offset > this.#added + this.#room) {
      this.#fillTo(this.#added + this.#room)
      await this.#send()
    }
    this.#fillTo(offset)
  }

  async #send(): Promise<void> {
    const length = this.#added - this.#sent
    if (length === 0) return
    await this.#upload(this.#sent, this.#gathered.subarray(0, length))
    this.#sent = this.#added
  }

  async #upload(offset: number, bytes: Uint8Array): Promise<void> {
    if (this.#signal?.aborted) throw abortReason(this.#signal)
    await this.#gpu.upload(this.#slab, this.#start + offset, bytes)
    await this.#turns.next(bytes.byteLength)
    if (this.#signal?.aborted) throw abortReason(this.#signal)
  }
}
