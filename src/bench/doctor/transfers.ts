/** What lies between JavaScript and the device: how fast bytes go up, how late results come back, whether memory is there. */
import { LorikeetError } from '../../errors.ts'
import type { Gpu } from '../../gpu/gpu.ts'
import type { Tracked } from '../../gpu/ledger.ts'
import { summarize } from '../load/stats.ts'

export interface Transfers {
  /** 10^9 bytes a second, best of a few. */
  readonly uploadGBs: number
  /** From submitting next to nothing to having its result, in ms, on an idle device. */
  readonly readbackMs: { readonly best: number; readonly median: number }
}

const MIB = 2 ** 20
const UPLOAD_BYTES = 64 * MIB
const SOFTWARE_UPLOAD_BYTES = 16 * MIB
const UPLOADS = 3
const READBACKS = 15

export async function measureTransfers(gpu: Gpu): Promise<Transfers> {
  const byteLength = Math.min(gpu.can.software ? SOFTWARE_UPLOAD_BYTES : UPLOAD_BYTES, gpu.can.maxBindingBytes)
  const owned: Tracked[] = []
  try {
    const target = await gpu.allocate({ label: 'upload trial', purpose: 'activations', byteLength })
    owned.push(target)
    const bytes = new Uint8Array(byteLength)
    const uploads: number[] = []
    for (let i = 0; i < UPLOADS; i++) {
      const start = performance.now()
      await gpu.upload(target, 0, bytes)
      await gpu.idle()
      uploads.push(byteLength / (performance.now() - start) / 1e6)
    }
    const ring = await gpu.readbackRing(1, 16, owned)
    const readbacks: number[] = []
    for (let i = 0; i < READBACKS; i++) {
      const start = performance.now()
      const recorder = gpu.recorder()
      const pending = ring.record(recorder, target, 4)
      recorder.submit()
      await pending.read()
      readbacks.push(performance.now() - start)
    }
    const { min, p50 } = summarize(readbacks)!
    return { uploadGBs: Math.max(...uploads), readbackMs: { best: min, median: p50 } }
  } finally {
    for (const buffer of owned) buffer.destroy()
  }
}

export interface MemoryTrial {
  readonly wantedBytes: number
  /** How much of it could be had at once. */
  readonly allocatedBytes: number
  /** The device's words, where that was less. */
  readonly problem: string | null
}

/** What a small model takes with lorikeet's defaults: 512 MiB of keys and values, 256 MiB of adapters, and its weights. */
const WANTED_BYTES = 1024 * MIB
const PIECE_BYTES = 128 * MIB

export async function tryMemory(gpu: Gpu): Promise<MemoryTrial> {
  const { maxBindingBytes, maxBufferBytes } = gpu.can
  const byteLength = Math.min(PIECE_BYTES, maxBindingBytes, maxBufferBytes)
  const owned: Tracked[] = []
  let problem: string | null = null
  try {
    while (owned.length * byteLength < WANTED_BYTES) {
      owned.push(await gpu.allocate({ label: 'memory trial', purpose: 'activations', byteLength }))
    }
  } catch (error) {
    if (!(error instanceof LorikeetError) || gpu.lost) throw error
    problem = error.message
  } finally {
    for (const buffer of owned) buffer.destroy()
  }
  return { wantedBytes: WANTED_BYTES, allocatedBytes: owned.length * byteLength, problem }
}
