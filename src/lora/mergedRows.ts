/** What an adapter makes of the rows of a base matrix, as changes that changedRows.ts applies while the matrix is read. */
import { type RowChange, rowBlocks } from '../weights/changedRows.ts'
import { FLOAT_BYTES, toFloat32 } from '../weights/dtype.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import type { LoraPart, LoraTensor, OwnRows } from './normal.ts'

/** A weight [out, in] of a linear layer: row o gets scale * B[o] A, and with DoRA the length that the magnitude says. */
export function linearRows({ rank, scale, a, b, magnitude }: LoraPart): RowChange {
  const columns = a.shape[1]
  const lengths = magnitude && toFloat32(magnitude.bytes, magnitude.dtype)
  return (values, first) => {
    const count = values.length / columns
    addProduct(values, rowsOf(b, first, count), toFloat32(a.bytes, a.dtype), rank, scale)
    if (!lengths) return
    for (let row = 0; row < count; row++) {
      const one = values.subarray(row * columns, (row + 1) * columns)
      let squares = 0
      for (const value of one) squares += value * value
      const factor = lengths[first + row]! / Math.sqrt(squares)
      for (let c = 0; c < columns; c++) one[c]! *= factor
    }
  }
}

/** A change of `count` rows of a larger matrix, from `start` on. */
export function rowsWithin(start: number, count: number, columns: number, change: RowChange): RowChange {
  return async (values, first, signal) => {
    const from = Math.max(start, first)
    const to = Math.min(start + count, first + values.length / columns)
    if (from >= to) return
    await change(values.subarray((from - first) * columns, (to - first) * columns), from - start, signal)
  }
}

/**
 * The embedding `weight` [vocab, hidden]: token t gets scale * B A[:, t], and with DoRA each column the length that the
 * magnitude says, for which the whole embedding is read once more.
 */
export function embeddingRows({ rank, scale, a, b, magnitude }: LoraPart, weight: TensorInfo): RowChange {
  const columns = b.shape[0]
  const add: RowChange = (values, first) => {
    const coefficients = columnsOf(a, first, values.length / columns)
    addProduct(values, coefficients, columnsOf(b, 0, rank), rank, scale)
  }
  if (!magnitude) return add
  let factors: Promise<Float32Array> | null = null
  const work = async (signal?: AbortSignal): Promise<Float32Array> => {
    const squares = new Float64Array(columns)
    for await (const { values, first } of rowBlocks(weight, 0, weight.shape[0]!, signal)) {
      await add(values, first)
      for (let i = 0; i < values.length; i++) squares[i % columns]! += values[i]! ** 2
    }
    return toFloat32(magnitude.bytes, magnitude.dtype).map((length, column) => length / Math.sqrt(squares[column]!))
  }
  return async (values, first, signal) => {
    factors ??= work(signal)
    const by = await factors
    await add(values, first)
    for (let i = 0; i < values.length; i++) values[i]! *= by[i % columns]!
  }
}

/** Rows in place of the base's. */
export function replacedRows({ tokens, matrix }: OwnRows): RowChange {
  const columns = matrix.shape[1]
  if (tokens === null) return (values, first) => values.set(rowsOf(matrix, first, values.length / columns))
  return (values, first) => {
    for (const [row, token] of tokens.entries()) {
      const at = (token - first) * columns
      if (at >= 0 && at < values.length) values.set(rowsOf(matrix, row, 1), at)
    }
  }
}

/** values [rows, columns] += scale * coefficients [rows, rank] * directions [rank, columns], four ranks at a time */
function addProduct(
  values: Float32Array,
  coefficients: Float32Array,
  directions: Float32Array,
  rank: number,
  scale: number,
): void {
  if (rank === 0) return
  const columns = directions.length / rank
  const start = (r: number): number => Math.min(r, rank - 1) * columns
  for (let row = 0; row * columns < values.length; row++) {
    const first = row * columns
    const factor = (r: number): number => (r < rank ? scale * coefficients[row * rank + r]! : 0)
    for (let r = 0; r < rank; r += 4) {
      const [f0, f1, f2, f3] = [factor(r), factor(r + 1), factor(r + 2), factor(r + 3)]
      const [d0, d1, d2, d3] = [start(r), start(r + 1), start(r + 2), start(r + 3)]
      for (let c = 0; c < columns; c++) {
        const sum =
          f0 * directions[d0 + c]! + f1 * directions[d1 + c]! + f2 * directions[d2 + c]! + f3 * directions[d3 + c]!
        values[first + c]! += sum
      }
    }
  }
}

/** Rows of a matrix, widened. */
function rowsOf({ bytes, dtype, shape }: LoraTensor, first: number, count: number): Float32Array {
  const rowBytes = shape[1] * FLOAT_BYTES[dtype]
  return toFloat32(bytes.subarray(first * rowBytes, (first + count) * rowBytes), dtype)
}

/** Columns of a matrix, widened, each as a row. */
function columnsOf({ bytes, dtype, shape: [rows, columns] }: LoraTensor, first: number, count: number): Float32Array {
  const width = FLOAT_BYTES[dtype]
  const out = new Float32Array(count * rows)
  for (let row = 0; row < rows; row++) {
    const start = (row * columns + first) * width
    const part = toFloat32(bytes.subarray(start, start + count * width), dtype)
    for (let c = 0; c < count; c++) out[c * rows + row] = part[c]!
  }
  return out
}
