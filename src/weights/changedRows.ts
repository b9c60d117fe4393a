/**
 * A matrix that is changed on its way from the file to whoever reads it: a block of whole rows at a time is widened to
 * f32, changed, and rounded to the width it has in the file. A read that begins or ends within a row changes that row whole.
 */
import { FLOAT_BYTES, type FloatDtype, fromFloat32, toFloat32 } from './dtype.ts'
import type { TensorInfo } from './safetensors.ts'
import { Source } from './source.ts'

/** Changes `values`, the rows from `first` on, in place. */
export type RowChange = (values: Float32Array, first: number, signal?: AbortSignal) => void | Promise<void>

/** Rows are changed in blocks of about this many bytes of the file: what is in memory at a time. */
const BLOCK_BYTES = 1024 * 1024

/** `tensor`, which is a float matrix [rows, columns], as `change` leaves it. */
export function changedRows(tensor: TensorInfo, change: RowChange): TensorInfo {
  return { ...tensor, byteOffset: 0, source: new ChangedRows(tensor, change) }
}

/** All rows in order, a block at a time, widened; the values are the caller's to change. */
export async function* rowBlocks(
  { dtype, shape, source, byteOffset }: TensorInfo,
  from: number,
  to: number,
  signal?: AbortSignal,
): AsyncGenerator<{ readonly first: number; readonly values: Float32Array }, void, undefined> {
  const rowBytes = shape[1]! * FLOAT_BYTES[dtype as FloatDtype]
  const most = Math.max(1, Math.floor(BLOCK_BYTES / rowBytes))
  for (let first = from; first < to; first += most) {
    const count = Math.min(most, to - first)
    const bytes = await source.read(byteOffset + first * rowBytes, count * rowBytes, signal)
    yield { first, values: toFloat32(bytes, dtype as FloatDtype) }
  }
}

class ChangedRows extends Source {
  readonly #tensor: TensorInfo
  readonly #change: RowChange

  constructor(tensor: TensorInfo, change: RowChange) {
    super(tensor.source.name, tensor.byteLength)
    this.#tensor = tensor
    this.#change = change
  }

  protected async fill(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    const dtype = this.#tensor.dtype as FloatDtype
    const rowBytes = this.#tensor.shape[1]! * FLOAT_BYTES[dtype]
    const end = offset + target.byteLength
    const [from, to] = [Math.floor(offset / rowBytes), Math.ceil(end / rowBytes)]
    for await (const { first, values } of rowBlocks(this.#tensor, from, to, signal)) {
      await this.#change(values, first, signal)
      const bytes = fromFloat32(values, dtype)
      const at = first * rowBytes - offset
      const skipped = Math.max(0, -at)
      target.set(bytes.subarray(skipped, Math.min(bytes.byteLength, target.byteLength - at)), at + skipped)
    }
  }
}
