/** WebGPU in Node: Dawn, there is no other. */
import type { DeviceWish } from './capabilities.ts'
import { NoGpuError } from './errors.ts'
import { Gpu } from './gpu.ts'
import { DawnHost } from './open.dawn.ts'

/**
 * Opens the GPU of a Node process. `switches` are Dawn's own, such as `backend=null`, which computes nothing.
 * @throws NoGpuError when the `webgpu` package is missing or finds no device.
 */
export async function openGpu(wish: DeviceWish = {}, switches: readonly string[] = []): Promise<Gpu> {
  if (wish.webgpu === 'builtin') throw new NoGpuError('Node has no WebGPU of its own: leave "builtin" to Deno.')
  return Gpu.open(await DawnHost.load('node', switches), wish)
}
