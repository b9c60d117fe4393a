/**
 * Many tensors of a file, a stretch at a time: those that lie next to each other come with one read of the disk, or one
 * request to a server, and large ones come in several. Nothing that nobody asked for is read, and no more than two
 * stretches are in memory: the next is on its way while somebody works on the one before.
 */
import type { TensorInfo } from './safetensors.ts'
import type { RandomAccess } from './source.ts'

/** Longest stretch, unless a single row is longer. A longer one would leave the processor's caches before it is used. */
const RUN_BYTES = 2 * 1024 * 1024

/** Whole rows of a tensor, or all of it. */
export interface TensorRows {
  readonly tensor: TensorInfo
  readonly firstRow: number
  /** Valid until the next rows are asked for; the rows of a neighbour lie in the same buffer. */
  readonly bytes: Uint8Array
}

/** Where rows lie in their file. */
interface Part {
  readonly tensor: TensorInfo
  readonly firstRow: number
  readonly start: number
  readonly end: number
}

interface Run {
  readonly source: RandomAccess
  readonly start: number
  end: number
  readonly parts: Part[]
}

/**
 * Reads each of `tensors` once, in the order in which they lie in their files.
 * @param farBytes longest stretch from where each read is a request
 * @throws SourceError, the signal's reason
 */
export async function* readTensors(
  tensors: Iterable<TensorInfo>,
  signal?: AbortSignal,
  farBytes: number = RUN_BYTES,
): AsyncGenerator<TensorRows, void, undefined> {
  const runs = runsOf(tensors, farBytes)
  const longest = runs.reduce((most, { start, end }) => Math.max(most, end - start), 0)
  const buffers = runs.slice(0, 2).map(() => new Uint8Array(longest))
  const read = (index: number): Promise<Uint8Array> | null => {
    const run = runs[index]
    if (!run) return null
    const target = buffers[index % 2]!.subarray(0, run.end - run.start)
    const reading = run.source.readInto(run.start, target, signal).then(() => target)
    // Whoever asks for its rows waits for it; a rejection nobody waits for is not an accident.
    reading.catch(() => undefined)
    return reading
  }
  let next = read(0)
  try {
    for (const [i, { start: runStart, parts }] of runs.entries()) {
      const bytes = await next!
      next = read(i + 1)
      for (const { tensor, firstRow, start, end } of parts) {
        yield { tensor, firstRow, bytes: bytes.subarray(start - runStart, end - runStart) }
      }
    }
  } finally {
    // Nobody closes a file under a read.
    await next?.catch(() => undefined)
  }
}

function runsOf(tensors: Iterable<TensorInfo>, farBytes: number): readonly Run[] {
  const bySource = new Map<RandomAccess, TensorInfo[]>()
  for (const tensor of new Set(tensors)) {
    const own = bySource.get(tensor.source)
    if (own) own.push(tensor)
    else bySource.set(tensor.source, [tensor])
  }
  const runs: Run[] = []
  for (const [source, own] of bySource) {
    const maxBytes = source.isFar ? farBytes : RUN_BYTES
    for (const part of own
      .sort((one, other) => one.byteOffset - other.byteOffset)
      .flatMap((tensor) => partsOf(tensor, maxBytes))) {
      const newest = runs.at(-1)
      const goesOn = newest?.source === source && newest.end === part.start && part.end - newest.start <= maxBytes
      const run = goesOn ? newest : { source, start: part.start, end: part.start, parts: [] }
      if (!goesOn) runs.push(run)
      run.end = part.end
      run.parts.push(part)
    }
  }
  return runs
}

/** A tensor in stretches of whole rows. */
function partsOf(tensor: TensorInfo, maxBytes: number): readonly Part[] {
  const { byteOffset, byteLength, shape } = tensor
  const rows = shape[0] ?? 1
  if (byteLength <= maxBytes) return [{ tensor, firstRow: 0, start: byteOffset, end: byteOffset + byteLength }]
  const rowBytes = byteLength / rows
  const most = Math.max(1, Math.floor(maxBytes / rowBytes))
  return Array.from({ length: Math.ceil(rows / most) }, (_, i) => {
    const start = byteOffset + i * most * rowBytes
    return { tensor, firstRow: i * most, start, end: Math.min(start + most * rowBytes, byteOffset + byteLength) }
  })
}
