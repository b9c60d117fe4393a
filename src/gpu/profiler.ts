/**
 * GPU time by timestamp queries at the boundaries of passes: of each kernel, for `bench`, where every dispatch gets a
 * pass of its own and costs time by itself; or of whole steps, for `--trace`, where nothing else changes.
 */
import { invariant } from '../errors.ts'
import type { BufferLedger, Tracked } from './ledger.ts'

export type ProfileMode = 'kernels' | 'steps'

/** Most passes of one profiled submit. */
const MAX_PASSES = 2048
const BYTES_PER_PASS = 16

export interface KernelTime {
  readonly label: string
  readonly calls: number
  readonly milliseconds: number
}

/** When the passes of one submit ran, in ms of the device's own clock. */
export interface GpuSpan {
  readonly begin: number
  readonly end: number
}

/** One submit whose timestamps are on their way. */
interface Pending {
  readonly labels: readonly string[]
  readonly target: Tracked
}

export class Profiler {
  readonly mode: ProfileMode
  readonly #device: GPUDevice
  readonly #ledger: BufferLedger
  readonly #querySet: GPUQuerySet
  readonly #resolved: Tracked
  /** Mappable buffers: as many as submits were ever uncollected at once. */
  readonly #targets: Tracked[] = []
  readonly #free: Tracked[] = []
  readonly #pending: Pending[] = []
  readonly #times = new Map<string, { calls: number; nanoseconds: number }>()
  #labels: string[] = []

  constructor(device: GPUDevice, ledger: BufferLedger, mode: ProfileMode) {
    this.#device = device
    this.#ledger = ledger
    this.mode = mode
    this.#querySet = device.createQuerySet({ type: 'timestamp', count: MAX_PASSES * 2 })
    this.#resolved = this.#create('timestamps', GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC)
  }

  /** Descriptor of the next pass; `label` is that of its first dispatch. */
  passDescriptor(label: string): GPUComputePassDescriptor {
    const index = this.#labels.push(label) - 1
    invariant(index < MAX_PASSES, 'Too many passes in one profiled step')
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
    const labels = this.#labels
    this.#labels = []
    if (!labels.length) return
    const target = this.#free.pop() ?? this.#createTarget()
    encoder.resolveQuerySet(this.#querySet, 0, labels.length * 2, this.#resolved.buffer, 0)
    encoder.copyBufferToBuffer(this.#resolved.buffer, 0, target.buffer, 0, labels.length * BYTES_PER_PASS)
    this.#pending.push({ labels, target })
  }

  /**
   * Adds the times of the oldest submit that was not collected yet to the totals, and returns its span; null if there is
   * none. To be called once after each timed submit, in their order.
   */
  async collect(): Promise<GpuSpan | null> {
    const oldest = this.#pending.shift()
    if (!oldest) return null
    const { labels, target } = oldest
    const bytes = labels.length * BYTES_PER_PASS
    await target.buffer.mapAsync(GPUMapMode.READ, 0, bytes)
    const stamps = new BigUint64Array(target.buffer.getMappedRange(0, bytes).slice(0))
    target.buffer.unmap()
    this.#free.push(target)
    labels.forEach((label, index) => {
      const total = this.#times.get(label) ?? { calls: 0, nanoseconds: 0 }
      total.calls++
      total.nanoseconds += Number(stamps[index * 2 + 1]! - stamps[index * 2]!)
      this.#times.set(label, total)
    })
    return { begin: Number(stamps[0]!) / 1e6, end: Number(stamps.at(-1)!) / 1e6 }
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
    for (const target of this.#targets) target.destroy()
  }

  #createTarget(): Tracked {
    const target = this.#create('timestamps read back', GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ)
    this.#targets.push(target)
    return target
  }

  #create(label: string, usage: number): Tracked {
    const byteLength = MAX_PASSES * BYTES_PER_PASS
    const buffer = this.#device.createBuffer({ label, size: byteLength, usage })
    return this.#ledger.track({ label, purpose: 'profile', byteLength, usage }, buffer)
  }
}
