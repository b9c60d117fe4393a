/** All `params` uniforms of a model in one buffer: written once at load, bound by offset, never touched by a step. */
import { invariant } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'

/** The alignment of uniform offsets every device accepts. */
const SLICE_BYTES = 256

export class ParamArena {
  readonly buffer: Tracked
  readonly #gpu: Gpu
  readonly #words: Uint32Array<ArrayBuffer>
  #slices = 0

  private constructor(gpu: Gpu, buffer: Tracked) {
    this.#gpu = gpu
    this.buffer = buffer
    this.#words = new Uint32Array(buffer.byteLength / 4)
  }

  /** Room for `slices` structs of at most 256 bytes. @throws GpuOutOfMemoryError */
  static async create(gpu: Gpu, slices: number): Promise<ParamArena> {
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST
    return new ParamArena(
      gpu,
      await gpu.allocate({ label: 'kernel params', purpose: 'params', byteLength: slices * SLICE_BYTES, usage }),
    )
  }

  /** Adds a struct and returns its binding; upload() sends it. */
  add(words: Uint32Array<ArrayBuffer>): GPUBufferBinding {
    const offset = this.#slices++ * SLICE_BYTES
    invariant(offset + SLICE_BYTES <= this.buffer.byteLength, 'The parameter arena is full')
    this.#words.set(words, offset / 4)
    return { buffer: this.buffer.buffer, offset, size: words.byteLength }
  }

  async upload(): Promise<void> {
    await this.#gpu.upload(this.buffer, 0, new Uint8Array(this.#words.buffer, 0, this.#slices * SLICE_BYTES))
  }
}
