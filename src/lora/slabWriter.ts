/**
 * Carries packed bytes into a slab: in the order of their places, through one buffer, which goes to the device whenever it
 * is full. What lies between them is zero.
 */
import { abortReason, invariant } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { UploadTurns } from './uploadTurns.ts'

/** Large enough to make the cost of a write small, small enough to be a small part of a step. */
const PIECE_BYTES = 256 * 1024

/** Bytes and where they belong, counted from the start of the layout they are part of. */
export interface PackedPiece {
  readonly offset: number
  /** Valid until the next piece is asked for. */
  readonly bytes: Uint8Array
}

export class SlabWriter {
  readonly #gpu: Gpu
  readonly #turns: UploadTurns
  readonly #buffer: Uint8Array = new Uint8Array(PIECE_BYTES)

  constructor(gpu: Gpu, turns: UploadTurns) {
    this.#gpu = gpu
    this.#turns = turns
  }

  /**
   * Fills `byteLength` bytes of `slab` from `start`. One call at a time.
   * @throws GpuLostError, the signal's reason
   */
  async fill(
    slab: Tracked,
    start: number,
    byteLength: number,
    pieces: AsyncIterable<PackedPiece> | Iterable<PackedPiece>,
    signal?: AbortSignal,
  ): Promise<void> {
    const buffer = this.#buffer
    /** What the buffer holds begins there, and ends here. */
    let sent = 0
    let end = 0
    const send = async (): Promise<void> => {
      if (signal?.aborted) throw abortReason(signal)
      const length = end - sent
      await this.#gpu.upload(slab, start + sent, buffer.subarray(0, length))
      sent = end
      await this.#turns.next(length)
      if (signal?.aborted) throw abortReason(signal)
    }
    /** Up to `to`, of `bytes` or of zeros. */
    const add = async (to: number, bytes: Uint8Array | null): Promise<void> => {
      const from = end
      while (end < to) {
        const at = end - sent
        const length = Math.min(to - end, buffer.length - at)
        if (bytes) buffer.set(bytes.subarray(end - from, end - from + length), at)
        else buffer.fill(0, at, at + length)
        end += length
        if (end - sent === buffer.length) await send()
      }
    }
    this.#turns.begin()
    for await (const { offset, bytes } of pieces) {
      invariant(offset >= end, 'Packed bytes come out of order')
      await add(offset, null)
      await add(offset + bytes.byteLength, bytes)
    }
    await add(byteLength, null)
    if (end > sent) await send()
  }
}
