/**
 * A ring of mappable buffers through which every step's results come back: a step copies into a free one, the engine
 * awaits it later, and several may be on their way at once. Nothing is created per step.
 */
import type { LorikeetError } from '../errors.ts'
import type { Counters } from './counters.ts'
import type { Faults } from './faults.ts'
import type { Tracked } from './ledger.ts'
import type { StepRecorder } from './recorder.ts'

/** One result on its way; read() may be called once. */
export interface PendingReadback {
  /** The bytes, once the GPU has written them. @throws GpuLostError, GpuReadbackError */
  read(): Promise<Uint8Array<ArrayBuffer>>
}

export interface ReadbackPort {
  readonly counters: Counters
  readonly faults: Faults | null
  /** The same wait, whose end is noticed in time. */
  noticed<Result>(wait: Promise<Result>): Promise<Result>
  /** What a mapping that failed so means. */
  explain(cause: unknown): Promise<LorikeetError>
}

export class ReadbackRing {
  readonly #free: Tracked[]
  readonly #port: ReadbackPort

  constructor(buffers: readonly Tracked[], port: ReadbackPort) {
    this.#free = [...buffers]
    this.#port = port
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
    return { read: () => this.#read(target, byteLength) }
  }

  async #read(target: Tracked, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    const { counters, faults, noticed } = this.#port
    try {
      await noticed(target.buffer.mapAsync(GPUMapMode.READ, 0, byteLength))
      const bytes = new Uint8Array(target.buffer.getMappedRange(0, byteLength).slice(0))
      target.buffer.unmap()
      await faults?.onReadback()
      counters.readbacks++
      counters.readbackBytes += byteLength
      return bytes
    } catch (cause) {
      throw await this.#port.explain(cause)
    } finally {
      this.#free.push(target)
    }
  }
}
