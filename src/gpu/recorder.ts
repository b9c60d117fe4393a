/**
 * Records one step: one command encoder, one compute pass, one submit. Safari nearly dies of many passes and every
 * pass costs microseconds everywhere. Only while kernels are profiled each dispatch gets a pass of its own, because
 * timestamps exist at pass boundaries alone.
 */
import { invariant } from '../errors.ts'
import type { Counters } from './counters.ts'
import type { BoundKernel, Grid } from './kernel.ts'
import type { Profiler } from './profiler.ts'

export class StepRecorder {
  readonly #device: GPUDevice
  readonly #counters: Counters
  readonly #profiler: Profiler | null
  readonly #encoder: GPUCommandEncoder
  #pass: GPUComputePassEncoder | null = null
  #pipeline: GPUComputePipeline | null = null

  constructor(device: GPUDevice, counters: Counters, profiler: Profiler | null) {
    this.#device = device
    this.#counters = counters
    this.#profiler = profiler
    this.#encoder = device.createCommandEncoder()
  }

  /** Appends one dispatch. An empty grid is no dispatch. */
  dispatch(kernel: BoundKernel, [x, y = 1, z = 1]: Grid): void {
    if (x === 0 || y === 0 || z === 0) return
    if (this.#profiler?.mode === 'kernels') this.#endPass()
    if (!this.#pass) {
      this.#pass = this.#encoder.beginComputePass(this.#profiler?.passDescriptor(kernel.label))
      this.#pipeline = null
      this.#counters.passes++
    }
    if (this.#pipeline !== kernel.pipeline) {
      this.#pass.setPipeline(kernel.pipeline)
      this.#pipeline = kernel.pipeline
    }
    this.#pass.setBindGroup(0, kernel.bindGroup)
    this.#pass.dispatchWorkgroups(x, y, z)
    this.#counters.dispatches++
  }

  /** Appends a copy; it ends the compute pass, so it belongs at the end of a step. */
  copy(source: GPUBuffer, sourceOffset: number, target: GPUBuffer, targetOffset: number, byteLength: number): void {
    invariant(byteLength % 4 === 0, 'A copy must be a multiple of 4 bytes')
    this.#endPass()
    this.#encoder.copyBufferToBuffer(source, sourceOffset, target, targetOffset, byteLength)
  }

  /** Hands everything to the queue. The recorder is used up. */
  submit(): void {
    this.#endPass()
    this.#profiler?.resolve(this.#encoder)
    this.#device.queue.submit([this.#encoder.finish()])
    this.#counters.submits++
  }

  #endPass(): void {
    this.#pass?.end()
    this.#pass = null
  }
}
