/**
 * Google's Dawn, through the optional npm package `webgpu`: what Node uses, and what Deno uses first.
 *
 * Lifetime: the object that `create()` returns must stay referenced while any GPU object lives, or the process dies
 * ("futex facility…", segmentation fault; dawn-gpu/node-webgpu#18, seen with 0.6.2 on 2026-11-22). A host therefore
 * keeps it, and hosts are kept in a module-level set until released.
 */
import type { DeviceWish } from './capabilities.ts'
import { NoGpuError } from './errors.ts'
import type { GpuHost } from './host.ts'

interface DawnModule {
  create(options: string[]): GPU
  globals: Record<string, unknown>
}

const alive = new Set<unknown>()

export class DawnHost implements GpuHost {
  readonly name: GpuHost['name']
  readonly implementation = 'Dawn'
  readonly needsNaps = true
  readonly #dawn: GPU

  private constructor(name: GpuHost['name'], dawn: GPU) {
    this.name = name
    this.#dawn = dawn
    alive.add(dawn)
  }

  /**
   * `switches` are Dawn's own, such as `backend=null`, which computes nothing.
   * @throws NoGpuError when the package cannot be loaded
   */
  static async load(name: GpuHost['name'], switches: readonly string[] = []): Promise<DawnHost> {
    const dawn = await importDawn()
    // GPUBufferUsage, GPUMapMode and their like: plain constants that browsers and Deno have as globals.
    for (const [name, value] of Object.entries(dawn.globals)) {
      if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
    }
    return new DawnHost(name, dawn.create([...switches]))
  }

  async requestAdapter(_wish: DeviceWish): Promise<GPUAdapter> {
    const adapter = await this.#dawn.requestAdapter({ powerPreference: 'high-performance' })
    if (adapter) return adapter
    this.release()
    throw new NoGpuError(
      'No WebGPU device was found. Install a Vulkan driver (on Debian or Ubuntu: sudo apt-get install mesa-vulkan-drivers, version 23.1 or newer), or run npm run setup in a checkout.',
    )
  }

  release(): void {
    alive.delete(this.#dawn)
  }
}

async function importDawn(): Promise<DawnModule> {
  try {
    return (await import('webgpu')) as unknown as DawnModule
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new NoGpuError(
      `The package "webgpu" (Dawn) cannot be loaded: ${reason}. Where it is missing, install it beside lorikeet: npm install webgpu@0.6.2, or deno add npm:webgpu@0.6.2`,
      { cause },
    )
  }
}
