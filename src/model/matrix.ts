/**
 * Weight matrices on the GPU: row-major [out, in], in the width of the file, sharded by rows so that no binding exceeds
 * the device's limit (a 128k-token lm_head at 4,096 is 1 GiB; 128 MiB is all one can count on). Projections of a group
 * stand below each other in one matrix, so a group is one matmul.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { BufferSpec, Tracked } from '../gpu/ledger.ts'
import { FLOAT_BYTES, type FloatDtype } from '../weights/dtype.ts'

export interface Matrix {
  readonly dtype: FloatDtype
  /** Outputs. */
  readonly rows: number
  /** Inputs; a multiple of 4. */
  readonly cols: number
  readonly shards: readonly MatrixShard[]
}

/** Rows rowStart .. rowStart + rows - 1 of a matrix. */
export interface MatrixShard {
  readonly buffer: Tracked
  readonly rowStart: number
  readonly rows: number
}

/** Shards begin at multiples of this many rows, so that a team's outputs never straddle two. */
const SHARD_ROW_STEP = 64

/** The buffers a matrix of this shape needs on this device. */
export function shardSpecs(
  gpu: Gpu,
  label: string,
  dtype: FloatDtype,
  rows: number,
  cols: number,
): { readonly rowStart: number; readonly rows: number; readonly spec: BufferSpec }[] {
  const rowBytes = cols * FLOAT_BYTES[dtype]
  const most = Math.min(gpu.can.maxBindingBytes, gpu.can.maxBufferBytes)
  const fitting = Math.floor(most / rowBytes / SHARD_ROW_STEP) * SHARD_ROW_STEP
  const perShard = Math.max(SHARD_ROW_STEP, Math.min(fitting, rows))
  const shards = []
  for (let rowStart = 0; rowStart < rows; rowStart += perShard) {
    const count = Math.min(perShard, rows - rowStart)
    const name = perShard < rows ? `${label} rows ${rowStart}..` : label
    shards.push({
      rowStart,
      rows: count,
      spec: { label: name, purpose: 'weights' as const, byteLength: count * rowBytes },
    })
  }
  return shards
}

/**
 * Writes bytes of a matrix, cutting them where shards meet.
 * @param byteOffset from the matrix's first element; a multiple of 4.
 */
export async function uploadRows(gpu: Gpu, matrix: Matrix, byteOffset: number, bytes: Uint8Array): Promise<void> {
  const rowBytes = matrix.cols * FLOAT_BYTES[matrix.dtype]
  for (const { buffer, rowStart, rows } of matrix.shards) {
    const shardStart = rowStart * rowBytes
    const from = Math.max(byteOffset, shardStart)
    const to = Math.min(byteOffset + bytes.byteLength, shardStart + rows * rowBytes)
    if (from < to) await gpu.upload(buffer, from - shardStart, bytes.subarray(from - byteOffset, to - byteOffset))
  }
}
