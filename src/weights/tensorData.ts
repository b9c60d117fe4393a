/**
 * The bytes of a tensor: small ones at once, large ones in slices through one buffer, so that loading a model never
 * holds more of it than a slice.
 */

import type { TensorInfo } from './safetensors.ts'
import { SourceError } from './source.ts'

/** Largest slice handed out unless the caller says otherwise; also the most that one upload to the GPU should take. */
export const SLICE_BYTES: number = 16 * 1024 * 1024

/** All bytes of a small tensor, in a buffer of their own. Throws SourceError. */
export async function readTensor(tensor: TensorInfo, signal?: AbortSignal): Promise<Uint8Array> {
  return await tensor.source.read(tensor.byteOffset, tensor.byteLength, signal)
}

export interface TensorSlice {
  /** Where the slice begins within the tensor. */
  readonly byteOffset: number
  /**
   * Valid until the next slice is asked for: the buffer is used again. It begins at offset 0 of its buffer, and its
   * length is a multiple of four, except perhaps of the last slice. There the buffer goes on, zeroed, to the next
   * multiple of four, so `new Uint8Array(bytes.buffer, 0, roundedUp)` suits GPUQueue.writeBuffer.
   */
  readonly bytes: Uint8Array<ArrayBuffer>
}

/**
 * The bytes of `tensor` in order, at most `maxBytes` (rounded down to a multiple of four) at a time. `scratch` is
 * used as the buffer if it is given (a load loop passes the same one for every tensor; two loops at once must not).
 * Throws SourceError.
 */
export async function* tensorSlices(
  tensor: TensorInfo,
  maxBytes: number = SLICE_BYTES,
  signal?: AbortSignal,
  scratch?: ArrayBuffer,
): AsyncGenerator<TensorSlice, void, undefined> {
  const { byteLength, source } = tensor
  const buffer = scratch ?? new ArrayBuffer(Math.min(maxBytes, roundUp4(byteLength)))
  const capacity = Math.min(maxBytes, buffer.byteLength) & ~3
  if (capacity < 4 && byteLength > 0) {
    throw new SourceError(
      'read_out_of_range',
      source.name,
      `${source.name}: slices of ${maxBytes} bytes are too small.`,
    )
  }
  for (let byteOffset = 0; byteOffset < byteLength; byteOffset += capacity) {
    const bytes = new Uint8Array(buffer, 0, Math.min(capacity, byteLength - byteOffset))
    new Uint8Array(buffer, bytes.byteLength, roundUp4(bytes.byteLength) - bytes.byteLength).fill(0)
    await source.readInto(tensor.byteOffset + byteOffset, bytes, signal)
    yield { byteOffset, bytes }
  }
}

function roundUp4(bytes: number): number {
  return Math.ceil(bytes / 4) * 4
}
