/**
 * The port between lorikeet and the WebGPU of the host it runs on; the files `open.*.ts` implement it. No other file may
 * know which host it is on.
 */
import type { DeviceWish } from './capabilities.ts'

export interface GpuHost {
  readonly name: 'node' | 'deno' | 'browser'
  /** Whose WebGPU it is, for people to read. */
  readonly implementation: string
  /** True where a result is noticed late unless something is submitted meanwhile. */
  readonly needsNudges?: boolean
  /** True where waiting keeps a core busy, and a thread may sleep. */
  readonly needsNaps?: boolean
  /** @throws NoGpuError with the host's own words when there is no adapter. */
  requestAdapter(wish: DeviceWish): Promise<GPUAdapter>
  /** Lets go of what keeps the host's GPU process or library alive. */
  release(): void
}
