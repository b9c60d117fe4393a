/**
 * Buffers for kernels that are measured one by one. Weights come out of a pool larger than caches: a step of a model reads
 * other weights in every layer, so a kernel that met the same ones again and again would look faster than it is.
 */
import type { Gpu } from '../../gpu/gpu.ts'
import type { Tracked } from '../../gpu/ledger.ts'
import { smallHalves } from '../synthetic.ts'

/** Bytes of the pool, unless a kernel reads more. Caches of GPUs have at most about a hundred MiB. */
const POOL_BYTES = 256 * 2 ** 20
const SOFTWARE_POOL_BYTES = 64 * 2 ** 20
const PATTERN_BYTES = 4 * 2 ** 20
/** What bindings begin at multiples of, on any device. */
const ALIGNMENT = 256

export class Workbench {
  readonly gpu: Gpu
  readonly #pool: Tracked
  readonly #owned: Tracked[] = []

  private constructor(gpu: Gpu, pool: Tracked) {
    this.gpu = gpu
    this.#pool = pool
  }

  /** @param largest bytes of the largest slice that is wanted; it is cut to what the device can bind. */
  static async open(gpu: Gpu, largest = 0): Promise<Workbench> {
    const { maxBufferBytes, maxBindingBytes, software } = gpu.can
    const wanted = Math.max(software ? SOFTWARE_POOL_BYTES : POOL_BYTES, largest)
    const byteLength = Math.floor(Math.min(wanted, maxBufferBytes, maxBindingBytes) / ALIGNMENT) * ALIGNMENT
    const pool = await gpu.allocate({ label: 'weights of a bench', purpose: 'weights', byteLength })
    const pattern = smallHalves(Math.min(PATTERN_BYTES, byteLength) / 2)
    for (let at = 0; at < byteLength; at += pattern.byteLength) {
      await gpu.upload(pool, at, pattern.subarray(0, Math.min(pattern.byteLength, byteLength - at)))
    }
    return new Workbench(gpu, pool)
  }

  /** Bytes of the largest slice there is. */
  get poolBytes(): number {
    return this.#pool.byteLength
  }

  /** How many different slices of so many bytes there are. */
  numSlices(byteLength: number): number {
    return Math.max(1, Math.floor(this.#pool.byteLength / aligned(byteLength)))
  }

  /** Weights that the slices of other indices do not overlap. Halves around 0.01; as f32 or bf16 they are tiny numbers. */
  slice(byteLength: number, index: number): GPUBufferBinding {
    const offset = (index % this.numSlices(byteLength)) * aligned(byteLength)
    return { buffer: this.#pool.buffer, offset, size: byteLength }
  }

  async upload(data: Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>): Promise<Tracked> {
    const tracked = await this.zeros(data.byteLength)
    await this.gpu.upload(tracked, 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    return tracked
  }

  async zeros(byteLength: number): Promise<Tracked> {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
    const tracked = await this.gpu.allocate({ label: 'bench', purpose: 'activations', byteLength, usage })
    this.#owned.push(tracked)
    return tracked
  }

  close(): void {
    for (const tracked of this.#owned.splice(0)) tracked.destroy()
    this.#pool.destroy()
  }
}

function aligned(byteLength: number): number {
  return Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT
}

/** f32 between -0.5 and 0.5. */
export function ramp(count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => ((i * 37) % 101) / 101 - 0.5)
}
