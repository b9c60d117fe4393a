/**
 * Makes one stretch of what is free in a slab, when an adapter would fit and only lies nowhere in one piece. Where it costs
 * least, what lies behind a free stretch is slid down, one adapter after the other, until it fits. The device copies it, and
 * the table follows in the same breath: steps that were submitted before find it where it was, later ones where it is.
 * Between two moves running sequences have their turn.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { Extent, ExtentAllocator } from './extents.ts'
import type { UploadTurns } from './uploadTurns.ts'

/** Copies within a buffer go through another of this size: WebGPU refuses them otherwise. */
export const BOUNCE_BYTES: number = 1024 * 1024

/** What lies in a slab. */
export interface Occupant {
  readonly extent: Extent
  /** The device has its bytes at `to` from the next step on. */
  moved(to: Extent): void
}

export interface Compactable {
  readonly buffer: Tracked
  readonly extents: ExtentAllocator
}

export class Compaction {
  readonly #gpu: Gpu
  readonly #turns: UploadTurns
  readonly #bounce: Tracked
  /** Adapters that were moved, and their bytes. */
  numMoves = 0
  movedBytes = 0

  /** `bounce` has BOUNCE_BYTES, for nothing else while somebody is moved. */
  constructor(gpu: Gpu, turns: UploadTurns, bounce: Tracked) {
    this.#gpu = gpu
    this.#turns = turns
    this.#bounce = bounce
  }

  /**
   * Moves what it must so that `byteLength` can be allocated, which has to be free altogether. Others may free theirs
   * meanwhile, and nobody may allocate. `occupants` says who is there now.
   * @throws GpuLostError
   */
  async makeRoom(slab: Compactable, byteLength: number, occupants: () => Iterable<Occupant>): Promise<void> {
    const { extents } = slab
    this.#turns.begin()
    while (!extents.canAllocate(byteLength)) {
      const gap = extents.cheapestGap(byteLength)
      const end = gap && gap.offset + gap.length
      const next = [...occupants()].find(({ extent }) => extent.offset === end)
      if (!next) return
      this.#copyDown(slab, next.extent, gap!.offset)
      const { length } = next.extent
      next.moved(extents.slideDown(next.extent))
      this.numMoves++
      this.movedBytes += length
      await this.#turns.next(length)
    }
  }

  /** From the start on, so that a piece never lands on what has yet to be copied. */
  #copyDown({ buffer: { buffer } }: Compactable, { offset, length }: Extent, to: number): void {
    const bounce = this.#bounce
    const recorder = this.#gpu.recorder()
    for (let done = 0; done < length; done += BOUNCE_BYTES) {
      const bytes = Math.min(BOUNCE_BYTES, length - done)
      recorder.copy(buffer, offset + done, bounce.buffer, 0, bytes)
      recorder.copy(bounce.buffer, 0, buffer, to + done, bytes)
    }
    recorder.submit()
  }
}
