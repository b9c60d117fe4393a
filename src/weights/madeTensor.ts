/** Tensors that no file has: made out of others, or of nothing. */
import type { TensorInfo } from './safetensors.ts'
import { Source } from './source.ts'

/** A tensor whose bytes are made when they are first read. */
export function madeTensor(
  name: string,
  shape: readonly number[],
  make: (signal?: AbortSignal) => Promise<Float32Array<ArrayBuffer>>,
): TensorInfo {
  const byteLength = 4 * shape.reduce((product, size) => product * size, 1)
  return { name, dtype: 'F32', shape, byteOffset: 0, byteLength, source: new MadeSource(name, byteLength, make) }
}

class MadeSource extends Source {
  readonly #make: (signal?: AbortSignal) => Promise<Float32Array<ArrayBuffer>>
  #bytes: Uint8Array | null = null

  constructor(name: string, size: number, make: (signal?: AbortSignal) => Promise<Float32Array<ArrayBuffer>>) {
    super(name, size)
    this.#make = make
  }

  protected async fill(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    this.#bytes ??= new Uint8Array((await this.#make(signal)).buffer)
    target.set(this.#bytes.subarray(offset, offset + target.byteLength))
  }
}
