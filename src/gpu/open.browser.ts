/** WebGPU in a browser: in a page, and in the workers a page starts. */
import type { DeviceWish } from './capabilities.ts'
import { NoGpuError } from './errors.ts'
import { Gpu } from './gpu.ts'
import type { GpuHost } from './host.ts'

class BrowserHost implements GpuHost {
  readonly name = 'browser'
  readonly implementation = "the browser's WebGPU"
  readonly #gpu: GPU
  /** With Chromium 129 maps failed once the adapter had been collected (huggingface/transformers.js#943, 2024-09). */
  readonly #alive = new Set<GPUAdapter>()

  constructor(gpu: GPU) {
    this.#gpu = gpu
  }

  /** Firefox looks for finished maps every 100 ms only, unless work is submitted (Mozilla bug 1870699, 2026-11-22). */
  get needsNudges(): boolean {
    return /\bFirefox\//.test(navigator.userAgent)
  }

  async requestAdapter(_wish: DeviceWish): Promise<GPUAdapter> {
    const adapter = await this.#gpu.requestAdapter({ powerPreference: 'high-performance' })
    if (!adapter) {
      throw new NoGpuError(
        'This browser has WebGPU but found no GPU it may use. Turn hardware acceleration on in its settings; in Chrome, chrome://gpu says what is blocked, and --enable-unsafe-webgpu or chrome://flags/#enable-unsafe-webgpu lifts it.',
      )
    }
    this.#alive.add(adapter)
    return adapter
  }

  release(): void {
    this.#alive.clear()
  }
}

/**
 * Opens the GPU of a page or worker.
 * @throws NoGpuError that says what the reader can do about it
 */
export async function openGpu(wish: DeviceWish = {}): Promise<Gpu> {
  if (wish.webgpu === 'dawn')
    throw new NoGpuError('A browser has no WebGPU but its own: leave "dawn" to Node and Deno.')
  const { gpu } = navigator
  if (gpu) return await Gpu.open(new BrowserHost(gpu), wish)
  throw new NoGpuError(
    globalThis.isSecureContext === false
      ? 'Browsers offer WebGPU to secure pages only: serve this one over https, or from localhost.'
      : 'This browser has no WebGPU here. Chrome and Edge have it since 113 (Android since 121), Safari since 26, Firefox since 141 on Windows and 145 on Macs; Firefox has none in service workers.',
  )
}
