/**
 * WebGPU in Deno, which may have two: Dawn, where the package `webgpu` is installed, and Deno's own (wgpu), always.
 * Dawn comes first. Deno's own has no subgroups (gfx-rs/wgpu#5555), and says 10 ms late that a result is there, also on an
 * idle queue (its `mapAsync` sleeps between two looks; measured with 2.9.6 on 2026-11-22): running ahead hides the second.
 */
import type { DeviceWish } from './capabilities.ts'
import { NoGpuError } from './errors.ts'
import { Gpu } from './gpu.ts'
import type { GpuHost } from './host.ts'
import { DawnHost } from './open.dawn.ts'

class BuiltinHost implements GpuHost {
  readonly name = 'deno'
  readonly implementation = 'wgpu'

  async requestAdapter(_wish: DeviceWish): Promise<GPUAdapter> {
    const adapter = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' })
    if (adapter) return adapter
    throw new NoGpuError(
      "Deno's own WebGPU found no device. Install a Vulkan driver (on Debian or Ubuntu: sudo apt-get install mesa-vulkan-drivers).",
    )
  }

  /** Its devices keep nothing alive. */
  release(): void {}
}

/**
 * Opens a GPU of a Deno process: the implementation that `wish.webgpu` names, or Dawn's if it is installed and finds a
 * device, else Deno's own. `Gpu.implementation` says which it became.
 * @throws NoGpuError
 */
export async function openGpu(wish: DeviceWish = {}): Promise<Gpu> {
  if (wish.webgpu === 'builtin') return await openBuiltin(wish)
  try {
    return await Gpu.open(await DawnHost.load('deno'), wish)
  } catch (error) {
    if (wish.webgpu === 'dawn' || !(error instanceof NoGpuError)) throw error
    return await openBuiltin(wish)
  }
}

async function openBuiltin(wish: DeviceWish): Promise<Gpu> {
  return await Gpu.open(new BuiltinHost(), wish)
}
