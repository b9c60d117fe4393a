/**
 * What must hold for every input, whatever it is: it is taken, or refused with a typed error whose text is short enough
 * for a log line; quickly; without more reading than it has bytes for; without memory beyond its tensors.
 *
 * Memory is V8's heap in use plus what buffers take outside of it, sampled when a source is read and when the reader is
 * done, against what it was before. What is garbage but was not collected counts too, so a figure is too high rather than
 * too low; only a collection in between can hide something, and for that the heap of the process is capped (run.mjs).
 */
import { LorikeetError } from '../../src/errors.ts'
import { type Folder, memoryFolder } from '../../src/weights/folder.ts'
import { bytesSource, type RandomAccess } from '../../src/weights/source.ts'
import { type Files, FuzzFailure, type Reading, type Target } from './target.ts'

const MIB = 1024 * 1024
/** Beyond the bytes of the tensors that are held. */
export const MAX_EXTRA_BYTES: number = 16 * MIB
export const MAX_MS = 1000
export const MAX_MESSAGE = 4000
export const MAX_PARAM = 400

export interface Verdict {
  readonly outcome: 'taken' | 'refused' | 'failed'
  /** The class of the refusal, or what is wrong. */
  readonly why: string
  readonly ms: number
  readonly extraBytes: number
  /** Failed for its time alone. */
  readonly isSlow: boolean
}

export interface Meters {
  /** Bytes of the heap in use and of buffers. */
  memory(): number
  /** Milliseconds of the wall clock, and of the process's own time. */
  now(): number
  cpu(): number
}

export async function judge(target: Target, files: Files, meters: Meters): Promise<Verdict> {
  const before = meters.memory()
  let peak = before
  const reading = new CountedReading(files, () => {
    peak = Math.max(peak, meters.memory())
  })
  const [startedAt, cpuBefore] = [meters.now(), meters.cpu()]
  let held = 0
  let error: unknown = null
  try {
    held = await target.run(reading)
  } catch (thrown) {
    error = thrown
  }
  const ms = meters.now() - startedAt
  const cpuMs = meters.cpu() - cpuBefore
  peak = Math.max(peak, meters.memory())
  const extraBytes = peak - before - held
  const verdict = (outcome: Verdict['outcome'], why: string, isSlow = false): Verdict => ({
    ...{ outcome, why, ms, extraBytes, isSlow },
  })

  const broken = error === null ? null : brokenError(error)
  if (broken !== null) return verdict('failed', broken)
  // Others may have the processor: what it did itself decides.
  if (ms > MAX_MS && cpuMs > MAX_MS) return verdict('failed', `took ${Math.round(cpuMs)} ms`, true)
  if (extraBytes > MAX_EXTRA_BYTES) return verdict('failed', `took ${(extraBytes / MIB).toFixed(1)} MiB beside tensors`)
  const mostRead = READINGS * reading.size
  if (reading.bytesRead > mostRead) return verdict('failed', `read ${reading.bytesRead} bytes of ${reading.size}`)
  return error === null ? verdict('taken', '') : verdict('refused', (error as Error).name)
}

/** Times that a byte may be read: the tail of a zip archive that is looked through, then its directory, headers, data. */
const READINGS = 6

function brokenError(error: unknown): string | null {
  if (error instanceof FuzzFailure) return error.message
  if (!(error instanceof LorikeetError)) return `threw ${error instanceof Error ? error.stack : String(error)}`
  if (error.status !== 400) return `answered ${error.status}: ${error.message.slice(0, 200)}`
  if (error.message.length > MAX_MESSAGE) return `has a message of ${error.message.length} characters`
  if ((error.param?.length ?? 0) > MAX_PARAM) return `has a param of ${error.param!.length} characters (${error.name})`
  return null
}

class CountedReading implements Reading {
  readonly files: Files
  readonly size: number
  bytesRead = 0
  readonly #onRead: () => void

  constructor(files: Files, onRead: () => void) {
    this.files = files
    this.#onRead = onRead
    this.size = Object.values(files).reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  source(name: string = Object.keys(this.files)[0]!): RandomAccess {
    return this.#counted(bytesSource(name, this.files[name]!))
  }

  folder(): Folder {
    const folder = memoryFolder('fuzz', this.files)
    return { ...folder, open: async (path, signal) => this.#counted(await folder.open(path, signal)) }
  }

  #counted(source: RandomAccess): RandomAccess {
    return {
      name: source.name,
      size: source.size,
      close: () => source.close(),
      read: async (offset, length, signal) => {
        const bytes = await source.read(offset, length, signal)
        this.#count(length)
        return bytes
      },
      readInto: async (offset, into, signal) => {
        await source.readInto(offset, into, signal)
        this.#count(into.byteLength)
      },
    }
  }

  #count(bytes: number): void {
    this.bytesRead += bytes
    this.#onRead()
  }
}
