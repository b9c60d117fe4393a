/**
 * Carries packed bytes into a slab, no more at once than fits between two steps. While steps run a write is small, and behind
 * each the steps have their turn; else it is large, because each costs something.
 */
import { abortReason } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { UploadTurns } from './uploadTurns.ts'

export class SlabWriter {
  readonly #gpu: Gpu
  readonly #turns: UploadTurns
  readonly #slab: Tracked
  readonly #start: number
  readonly #signal: AbortSignal | undefined

  /** `start`: where in `slab` the layout begins, in bytes, that offsets are counted from. */
  constructor(gpu: Gpu, turns: UploadTurns, slab: Tracked, start: number, signal?: AbortSignal) {
    this.#gpu = gpu
    this.#turns = turns
    this.#slab = slab
    this.#start = start
    this.#signal = signal
    turns.begin()
  }

  /** Resolves when all of it is on its way. Offset and length are multiples of 4. @throws GpuLostError, the signal's reason */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      const piece = bytes.subarray(done, done + this.#turns.pieceBytes)
      await this.#gpu.upload(this.#slab, this.#start + offset + done, piece)
      done += piece.byteLength
      await this.turn(piece.byteLength)
    }
  }

  /** Others have their turn, after so many bytes or after other work for the upload. @throws the signal's reason */
  async turn(bytes = 0): Promise<void> {
    await this.#turns.next(bytes)
    if (this.#signal?.aborted) throw abortReason(this.#signal)
  }
}
