/**
 * The device as the rest of lorikeet sees it: buffers that are on the books, uploads in bounded slices, kernels,
 * recorders, readbacks. Opened by `open.node.ts` (or another host's file) and closed exactly once.
 */
import { InvariantError, invariant, type LorikeetError } from '../errors.ts'
import { type Capabilities, capabilitiesOf, type DeviceWish, deviceDescriptor } from './capabilities.ts'
import { Counters } from './counters.ts'
import { GpuLimitError, GpuLostError, GpuOutOfMemoryError, GpuReadbackError } from './errors.ts'
import type { Faults } from './faults.ts'
import type { GpuHost } from './host.ts'
import type { Kernel, KernelDefinition, Specialisation } from './kernel.ts'
import { KernelCache } from './kernelCache.ts'
import { BufferLedger, type BufferSpec, type Tracked } from './ledger.ts'
import { Napper } from './nap.ts'
import { Nudger } from './nudge.ts'
import { type ProfileMode, Profiler } from './profiler.ts'
import { ReadbackRing } from './readbackRing.ts'
import { StepRecorder } from './recorder.ts'

/** Dawn copies what writeBuffer is given into staging memory at once; slices bound that copy. */
const UPLOAD_SLICE_BYTES = 16 * 1024 * 1024
/** Longest time between a rejection by a lost device and its report. */
const LOSS_REPORT_MS = 50

export class Gpu {
  readonly can: Capabilities
  readonly ledger: BufferLedger = new BufferLedger()
  readonly counters: Counters = new Counters()
  readonly device: GPUDevice
  readonly #host: GpuHost
  readonly #kernels: KernelCache
  readonly #faults: Faults | null
  /** What must be done while somebody waits for the device, if anything. */
  readonly #meanwhile: Nudger | Napper | null
  #profiler: Profiler | null = null
  #lost: GpuLostError | null = null
  #fault: InvariantError | null = null
  #stagedBytes = 0

  private constructor(host: GpuHost, adapter: GPUAdapter, device: GPUDevice, faults: Faults | null) {
    this.#host = host
    this.#faults = faults
    faults?.attach(device)
    this.device = device
    if (host.needsNudges) this.#meanwhile = new Nudger(() => device.queue.submit([]))
    else this.#meanwhile = host.needsNaps ? new Napper() : null
    this.can = capabilitiesOf(adapter, device)
    this.#kernels = new KernelCache(device, this.can, this.counters)
    // A validation error outside any scope is a bug of ours: keep the first one and fail the next use of the device.
    device.onuncapturederror = ({ error }) => {
      this.#fault ??= new InvariantError(`The GPU reports: ${error.message}`)
    }
    void device.lost.then(({ reason, message }) => {
      this.#lost = new GpuLostError(`The GPU device is gone (${reason}): ${message || 'the driver gave no reason'}`)
    })
  }

  /** @throws NoGpuError when the host has no adapter or the adapter refuses. */
  static async open(host: GpuHost, wish: DeviceWish = {}): Promise<Gpu> {
    const adapter = await host.requestAdapter(wish)
    const device = await adapter.requestDevice(deviceDescriptor(adapter, wish))
    return new Gpu(host, adapter, device, wish.faults ?? null)
  }

  /** Whose WebGPU this is: Dawn, wgpu, the browser's. */
  get implementation(): string {
    return this.#host.implementation
  }

  /** Set once the device is gone; every wait on it has been rejected by then. */
  get lost(): GpuLostError | null {
    return this.#lost
  }

  /**
   * Creates a buffer, zero-filled, inside an out-of-memory scope.
   * @throws GpuLimitError, GpuOutOfMemoryError. Nothing is left allocated when it throws.
   */
  async allocate(spec: BufferSpec): Promise<Tracked> {
    const [tracked] = await this.allocateAll([spec])
    return tracked!
  }

  /** Creates all of `specs` or none of them: one scope, one wait. */
  async allocateAll(specs: readonly BufferSpec[]): Promise<Tracked[]> {
    for (const { label, byteLength } of specs) {
      const { maxBufferBytes, maxBindingBytes } = this.can
      if (byteLength > maxBufferBytes) throw new GpuLimitError(label, byteLength, 'largest buffer', maxBufferBytes)
      if (byteLength > maxBindingBytes) throw new GpuLimitError(label, byteLength, 'largest binding', maxBindingBytes)
    }
    this.#throwIfBroken()
    this.device.pushErrorScope('out-of-memory')
    const made: Tracked[] = []
    let failure: unknown = null
    try {
      for (const spec of specs) made.push(this.#create(spec))
    } catch (error) {
      failure = error
    }
    failure = (await this.device.popErrorScope()) ?? failure
    if (!failure) return made
    for (const tracked of made) tracked.destroy()
    const largest = specs.reduce((one, other) => (other.byteLength > one.byteLength ? other : one))
    throw new GpuOutOfMemoryError(largest.label, largest.byteLength, { cause: failure })
  }

  #create(spec: BufferSpec): Tracked {
    this.#faults?.onAllocation()
    const usage = spec.usage ?? GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST
    // WebGPU wants sizes in multiples of 4, and bindings are never empty.
    const size = Math.max(16, Math.ceil(spec.byteLength / 4) * 4)
    const buffer = this.device.createBuffer({ label: spec.label, size, usage })
    this.counters.buffersCreated++
    return this.ledger.track({ ...spec, byteLength: size }, buffer)
  }

  /** One small write, at once and without waiting: for the tables of a step. Offsets and lengths in multiples of 4. */
  write(
    target: Tracked,
    byteOffset: number,
    data: Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>,
    length: number = data.length,
  ): void {
    this.device.queue.writeBuffer(target.buffer, byteOffset, data, 0, length)
    this.counters.uploads++
    this.counters.uploadedBytes += length * 4
  }

  /**
   * Copies `bytes` into `target` in slices of at most 16 MiB, and waits for the queue so that no more than that is
   * staged. `byteOffset` is a multiple of 4; a tail that is not is padded with zeros.
   */
  async upload(target: Tracked, byteOffset: number, bytes: Uint8Array): Promise<void> {
    invariant(byteOffset % 4 === 0, 'Uploads begin at multiples of 4 bytes')
    invariant(byteOffset + bytes.byteLength <= target.byteLength, `An upload does not fit "${target.label}"`)
    for (let start = 0; start < bytes.byteLength; start += UPLOAD_SLICE_BYTES) {
      this.#throwIfBroken()
      const slice = bytes.subarray(start, Math.min(start + UPLOAD_SLICE_BYTES, bytes.byteLength))
      const whole = slice.byteLength & ~3
      if (whole)
        this.device.queue.writeBuffer(
          target.buffer,
          byteOffset + start,
          slice.buffer as ArrayBuffer,
          slice.byteOffset,
          whole,
        )
      if (whole < slice.byteLength) {
        const tail = new Uint8Array(4)
        tail.set(slice.subarray(whole))
        this.device.queue.writeBuffer(target.buffer, byteOffset + start + whole, tail)
      }
      this.counters.uploads++
      this.counters.uploadedBytes += slice.byteLength
      this.#stagedBytes += slice.byteLength
      if (this.#stagedBytes >= UPLOAD_SLICE_BYTES) await this.idle()
    }
  }

  /** Waits until everything submitted and written so far is done. */
  async idle(): Promise<void> {
    this.#stagedBytes = 0
    this.device.queue.submit([])
    await this.#noticed(this.device.queue.onSubmittedWorkDone())
    this.#throwIfBroken()
  }

  /** Compiles (or finds) a kernel. @throws ShaderError */
  kernel(definition: KernelDefinition, wanted: Specialisation = {}): Promise<Kernel> {
    return this.#noticed(this.#kernels.get(definition, wanted))
  }

  /** A recorder for one submit. A `timed` one is profiled while profiling is on; collect() is called once for each. */
  recorder({ timed = false }: { readonly timed?: boolean } = {}): StepRecorder {
    this.#throwIfBroken()
    return new StepRecorder(this.device, this.counters, timed ? this.#profiler : null)
  }

  /** Reads `byteLength` bytes back through a buffer of its own: for tests and one-off reads, not for steps. */
  async readback(
    source: Tracked,
    byteOffset = 0,
    byteLength: number = source.byteLength - byteOffset,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const target = await this.allocate({
      label: `readback of ${source.label}`,
      purpose: 'readback',
      byteLength,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    })
    try {
      const encoder = this.device.createCommandEncoder()
      encoder.copyBufferToBuffer(source.buffer, byteOffset, target.buffer, 0, Math.ceil(byteLength / 4) * 4)
      this.device.queue.submit([encoder.finish()])
      await this.#noticed(target.buffer.mapAsync(GPUMapMode.READ))
      const bytes = new Uint8Array(target.buffer.getMappedRange().slice(0, byteLength))
      target.buffer.unmap()
      return bytes
    } finally {
      target.destroy()
    }
  }

  /** A ring of `depth` mappable buffers of `byteLength` bytes. Its buffers belong to the caller's `owned` list. */
  async readbackRing(depth: number, byteLength: number, owned: Tracked[]): Promise<ReadbackRing> {
    const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ
    const specs = Array.from({ length: depth }, (_, i) => ({
      label: `step results ${i}`,
      purpose: 'readback' as const,
      byteLength,
      usage,
    }))
    const buffers = await this.allocateAll(specs)
    owned.push(...buffers)
    return new ReadbackRing(buffers, {
      counters: this.counters,
      faults: this.#faults,
      noticed: (wait) => this.#noticed(wait),
      explain: (cause) => this.#explain(cause),
    })
  }

  /** A wait for the device, on hosts that would notice its end late, or ask for it all the time. */
  #noticed<Result>(wait: Promise<Result>): Promise<Result> {
    return this.#meanwhile ? this.#meanwhile.during(wait) : wait
  }

  /** A lost device rejects what waits for it before it says that it is lost. */
  async #explain(cause: unknown): Promise<LorikeetError> {
    const soon = new Promise((resolve) => setTimeout(resolve, LOSS_REPORT_MS))
    await Promise.race([this.device.lost, soon])
    return this.#lost ?? new GpuReadbackError(cause)
  }

  /**
   * Turns profiling on, of each kernel or only of whole steps, or off. @throws GpuLimitError when the device has no
   * timestamps.
   */
  profile(mode: ProfileMode | null): Profiler | null {
    this.#profiler?.close()
    this.#profiler = null
    if (mode === null) return null
    if (!this.can.timestamps) throw new GpuLimitError('profiling', 0, 'timestamp-query feature', 0)
    this.#profiler = new Profiler(this.device, this.ledger, mode)
    return this.#profiler
  }

  /** The profiler, while profiling is on. */
  get profiler(): Profiler | null {
    return this.#profiler
  }

  /** Destroys every buffer and the device, and lets the host go. The ledger reads zero afterwards. */
  close(): void {
    this.#profiler?.close()
    this.#profiler = null
    this.ledger.destroyAll()
    this.device.destroy()
    this.#host.release()
  }

  #throwIfBroken(): void {
    if (this.#lost) throw this.#lost
    if (this.#fault) throw this.#fault
  }
}
