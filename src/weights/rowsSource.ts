/**
 * Some rows of a tensor as a tensor of its own, read where they lie: for files that keep what belongs to several modules
 * in one matrix.
 */
import type { TensorInfo } from './safetensors.ts'
import { type RandomAccess, Source } from './source.ts'

export interface RowRange {
  readonly start: number
  readonly count: number
}

/** The rows of `tensor`, which is [rows] or [rows, columns] and has whole bytes an element, in the order of `ranges`. */
export function tensorRows(tensor: TensorInfo, ranges: readonly RowRange[]): TensorInfo {
  const [rows = 0, ...columns] = tensor.shape
  const rowBytes = rows === 0 ? 0 : tensor.byteLength / rows
  const count = ranges.reduce((sum, range) => sum + range.count, 0)
  return {
    name: tensor.name,
    dtype: tensor.dtype,
    shape: [count, ...columns],
    byteOffset: 0,
    byteLength: count * rowBytes,
    source: new RowsSource(tensor.source, tensor.byteOffset, rowBytes, ranges),
  }
}

class RowsSource extends Source {
  readonly #whole: RandomAccess
  readonly #byteOffset: number
  readonly #rowBytes: number
  readonly #ranges: readonly RowRange[]

  constructor(whole: RandomAccess, byteOffset: number, rowBytes: number, ranges: readonly RowRange[]) {
    super(
      whole.name,
      ranges.reduce((sum, { count }) => sum + count * rowBytes, 0),
    )
    this.#whole = whole
    this.#byteOffset = byteOffset
    this.#rowBytes = rowBytes
    this.#ranges = ranges
  }

  protected async fill(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    const end = offset + target.byteLength
    let begin = 0
    for (const { start, count } of this.#ranges) {
      const length = count * this.#rowBytes
      const from = Math.max(offset, begin)
      const to = Math.min(end, begin + length)
      if (from < to) {
        const at = this.#byteOffset + start * this.#rowBytes + (from - begin)
        await this.#whole.readInto(at, target.subarray(from - offset, to - offset), signal)
      }
      begin += length
    }
  }
}
