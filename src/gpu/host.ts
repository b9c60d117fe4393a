/**
 * The port between lorikeet and the host it runs on. `open.node.ts` implements it for Node (dawn.node); browsers and
 * Deno follow behind the same interface. No other file may know which host it is on.
 */
import type { DeviceWish } from './capabilities.ts'

export interface GpuHost {
  readonly name: 'node' | 'deno' | 'browser'
  /** @throws NoGpuError with the host's own words when there is no adapter. */
  requestAdapter(wish: DeviceWish): Promise<GPUAdapter>
  /** Lets go of what keeps the host's GPU process or library alive. */
  release(): void
}
