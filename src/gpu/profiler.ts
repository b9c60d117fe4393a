/**
 * GPU time per kernel label, by timestamp queries around one pass per dispatch. A mode for `bench` and `--trace`, not
 * for serving: passes cost time of their own.
 */
import { invariant } from '../errors.ts'
import type { BufferLedger, Tracked } from './ledger.ts'

/** Most dispatches of one profiled submit. */
const MAX_PASSES = 2048

export interface KernelTime {
  readonly label: string
  readonly calls: number
  readonly milliseconds: number
}

export class Profiler {
  readonly #querySet: GPUQuerySet
  readonly #resolved: Tracked
  readonly #mapped: Tracked
  readonly #times = new Map<string, { calls: number; nanoseconds: number }>()
  #labels: string[] = []

  constructor(device: GPUDevice, ledger: BufferLedger) {
    const byteLength = MAX_PASSES * 2 * 8
    const create = (label: string, usage: number) =>
      ledger.track(
        { label, purpose: 'profile', byteLength, usage },
        device.createBuffer({ label, size: byteLength, usage }),
      )
    this.#querySet = device.createQuerySet({ type: 'timestamp', count: MAX_PASSES * 2 })
    this.#resolved = create('timestamps', GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC)
    this.#mapped = create('timestamps read back', GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ)
  }

  /** Descriptor of the pass for the next dispatch. */
  passDescriptor(label: string): GPUComputePassDescriptor {
    const index = this.#labels.push(label) - 1
    invariant(index < MAX_PASSES, 'Too many dispatches in one profiled step')
    return {
      timestampWrites: {
        querySet: this.#querySet,
        beginningOfPassWriteIndex: index * 2,
        endOfPassWriteIndex: index * 2 + 1,
      },
    }
  }

  /** Appends the copies that bring this submit's timestamps to where collect() reads them. */
  resolve(encoder: GPUCommandEncoder): void {
    if (!this.#labels.length) return
    const bytes = this.#labels.length * 16
    encoder.resolveQuerySet(this.#querySet, 0, this.#labels.length * 2, this.#resolved.buffer, 0)
    encoder.copyBufferToBuffer(this.#resolved.buffer, 0, this.#mapped.buffer, 0, bytes)
  }

  /** Adds the last submit's times to the totals. To be awaited before the next profiled submit. */
  async collect(): Promise<void> {
    const labels = this.#labels
    this.#labels = []
    if (!labels.length) return
    const bytes = labels.length * 16
    await this.#mapped.buffer.mapAsync(GPUMapMode.READ, 0, bytes)
    const stamps = new BigUint64Array(this.#mapped.buffer.getMappedRange(0, bytes).slice(0))
    this.#mapped.buffer.unmap()
    labels.forEach((label, index) => {
      const total = this.#times.get(label) ?? { calls: 0, nanoseconds: 0 }
      total.calls++
      total.nanoseconds += Number(stamps[index * 2 + 1]! - stamps[index * 2]!)
      this.#times.set(label, total)
    })
  }

  /** Totals since the start or the last reset, longest first. */
  times(): KernelTime[] {
    return [...this.#times]
      .map(([label, { calls, nanoseconds }]) => ({ label, calls, milliseconds: nanoseconds / 1e6 }))
      .sort((one, other) => other.milliseconds - one.milliseconds)
  }

  reset(): void {
    this.#times.clear()
  }

  close(): void {
    this.#querySet.destroy()
    this.#resolved.destroy()
    this.#mapped.destroy()
  }
}
