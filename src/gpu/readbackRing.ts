/**
 * A ring of mappable buffers through which every step's results come back: a step copies into a free one, the engine
 * awaits it later, and several may be on their way at once. Nothing is created per step.
 */
import type { Counters } from './counters.ts'
import type { Tracked } from './ledger.ts'
import type { StepRecorder } from './recorder.ts'

/** One result on its way; read() may be called once. */
export interface PendingReadback {
  /** The bytes, once the GPU has written them. Rejects when the device is lost. */
  read(): Promise<Uint8Array<ArrayBuffer>>
}

export class ReadbackRing {
  readonly #free: Tracked[]
  readonly #counters: Counters

  constructor(buffers: readonly Tracked[], counters: Counters) {
    this.#free = [...buffers]
    this.#counters = counters
  }

  /** Results that could be started now. */
  get available(): number {
    return this.#free.length
  }

  /**
   * Appends a copy of `byteLength` bytes from the start of `source` to a step.
   * The caller must not have more than the ring's depth on their way.
   */
  record(recorder: StepRecorder, source: Tracked, byteLength: number): PendingReadback {
    const target = this.#free.pop()
    if (!target) throw new RangeError('The readback ring is full: await a result before recording another')
    recorder.copy(source.buffer, 0, target.buffer, 0, byteLength)
    return {
      read: async () => {
        try {
          await target.buffer.mapAsync(GPUMapMode.READ, 0, byteLength)
          const bytes = new Uint8Array(target.buffer.getMappedRange(0, byteLength).slice(0))
          target.buffer.unmap()
          this.#counters.readbacks++
          this.#counters.readbackBytes += byteLength
          return bytes
        } finally {
          this.#free.push(target)
        }
      },
    }
  }
}
