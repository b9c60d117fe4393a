/**
 * Many small tensors of a file, read a stretch at a time: those that lie next to each other come with one read of the disk,
 * or one request to a server, and lie in one buffer. Nothing that nobody asked for is read.
 */
import type { TensorInfo } from './safetensors.ts'
import type { RandomAccess } from './source.ts'

/** Longest stretch. */
const RUN_BYTES = 2 * 1024 * 1024

interface Run {
  readonly source: RandomAccess
  readonly start: number
  end: number
  /** Once somebody has asked for it. */
  bytes: Promise<Uint8Array> | null
}

export class TensorRuns {
  readonly #runs = new Map<TensorInfo, Run>()

  /** @param tensors all that are going to be read */
  constructor(tensors: Iterable<TensorInfo>) {
    const newest = new Map<RandomAccess, Run>()
    for (const tensor of [...new Set(tensors)].sort((one, other) => one.byteOffset - other.byteOffset)) {
      const { source, byteOffset: start, byteLength } = tensor
      const end = start + byteLength
      let run = newest.get(source)
      if (run?.end === start && end - run.start <= RUN_BYTES) run.end = end
      else run = { source, start, end, bytes: null }
      newest.set(source, run)
      this.#runs.set(tensor, run)
    }
  }

  /** The bytes of one of the tensors; its neighbours' share the buffer. @throws SourceError, the signal's reason */
  async read(tensor: TensorInfo, signal?: AbortSignal): Promise<Uint8Array> {
    const run = this.#runs.get(tensor)!
    run.bytes ??= run.source.read(run.start, run.end - run.start, signal)
    const from = tensor.byteOffset - run.start
    return (await run.bytes).subarray(from, from + tensor.byteLength)
  }
}
