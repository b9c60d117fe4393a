/**
 * The ledger knows every buffer lorikeet owns, by purpose: bytes now, peak bytes, count. After close() it must read
 * zero; tests hold it to that. Buffers are created nowhere else.
 */
import { invariant } from '../errors.ts'

/** What a buffer is for; metrics and the demo's memory chart group by it. */
export type Purpose = 'weights' | 'kv' | 'adapters' | 'activations' | 'tables' | 'params' | 'readback' | 'profile'

export interface BufferSpec {
  readonly label: string
  readonly purpose: Purpose
  readonly byteLength: number
  /** GPUBufferUsage flags; by default STORAGE | COPY_SRC | COPY_DST. */
  readonly usage?: number
}

/** A buffer in the ledger. destroy() frees it and takes it off the books; a second call does nothing. */
export interface Tracked extends BufferSpec {
  readonly buffer: GPUBuffer
  readonly destroyed: boolean
  destroy(): void
}

export interface PurposeTotals {
  readonly bytes: number
  readonly peakBytes: number
  readonly count: number
}

export class BufferLedger {
  readonly #totals = new Map<Purpose, { bytes: number; peakBytes: number; count: number }>()
  readonly #live = new Set<Tracked>()

  /** Enters `buffer` into the books. */
  track(spec: BufferSpec, buffer: GPUBuffer): Tracked {
    const totals = this.#totals.get(spec.purpose) ?? { bytes: 0, peakBytes: 0, count: 0 }
    this.#totals.set(spec.purpose, totals)
    totals.bytes += spec.byteLength
    totals.peakBytes = Math.max(totals.peakBytes, totals.bytes)
    totals.count += 1
    const live = this.#live
    const tracked: Tracked = {
      ...spec,
      buffer,
      get destroyed(): boolean {
        return !live.has(tracked)
      },
      destroy(): void {
        if (!live.delete(tracked)) return
        totals.bytes -= spec.byteLength
        totals.count -= 1
        buffer.destroy()
      },
    }
    live.add(tracked)
    return tracked
  }

  /** Bytes of all live buffers. */
  get bytes(): number {
    let sum = 0
    for (const { bytes } of this.#totals.values()) sum += bytes
    return sum
  }

  /** Live buffers. */
  get count(): number {
    return this.#live.size
  }

  /** Totals of every purpose that ever held a buffer. */
  byPurpose(): ReadonlyMap<Purpose, PurposeTotals> {
    return new Map([...this.#totals].map(([purpose, totals]) => [purpose, { ...totals }]))
  }

  /** Live buffers as "label (bytes)", for the message of a failed leak check. */
  describe(): string {
    return [...this.#live].map(({ label, byteLength }) => `${label} (${byteLength})`).join(', ')
  }

  /** Destroys whatever is left: the end of close() and of a lost device. */
  destroyAll(): void {
    for (const tracked of [...this.#live]) tracked.destroy()
    invariant(this.bytes === 0 && this.count === 0, 'The buffer ledger does not balance')
  }
}
