/**
 * The device fixture: `it` with a KernelBench for each test. A test file opens a device of its own once; around each
 * test stands a validation scope, and afterwards every buffer must be off the ledger.
 */
import { type TestAPI, test } from 'vitest'
import type { DeviceWish } from '../../src/gpu/capabilities.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import type { Grid } from '../../src/gpu/kernel.ts'
import type { Tracked } from '../../src/gpu/ledger.ts'
import type { KernelChoice } from '../../src/model/kernels/choice.ts'
import { LACKS, openGpu } from './host.ts'

/** Data for a new buffer, or a buffer that is there already. */
export type Bound = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Tracked | GPUBufferBinding

const isData = (bound: Bound): bound is Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> =>
  ArrayBuffer.isView(bound)

/** Runs single kernels over plain arrays. */
export class KernelBench {
  readonly gpu: Gpu
  readonly #owned: Tracked[] = []

  constructor(gpu: Gpu) {
    this.gpu = gpu
  }

  /** A buffer with this content; freed after the test. */
  async upload(label: string, data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): Promise<Tracked> {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
    const tracked = await this.gpu.allocate({ label, purpose: 'activations', byteLength: data.byteLength, usage })
    this.#owned.push(tracked)
    await this.gpu.upload(tracked, 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    return tracked
  }

  /** Binds `buffers` (arrays are uploaded first), dispatches once, and returns every buffer by binding name. */
  async run(
    { definition, specialisation }: KernelChoice,
    buffers: Readonly<Record<string, Bound>>,
    grid: Grid,
  ): Promise<Record<string, Tracked>> {
    const kernel = await this.gpu.kernel(definition, specialisation)
    const bound: Record<string, Tracked | GPUBufferBinding> = {}
    for (const [name, value] of Object.entries(buffers)) {
      bound[name] = isData(value) ? await this.upload(name, value) : value
    }
    const recorder = this.gpu.recorder()
    recorder.dispatch(kernel.bind(bound), grid)
    recorder.submit()
    return bound as Record<string, Tracked>
  }

  /** Content of a buffer as f32. */
  async floats(tracked: Tracked): Promise<Float32Array<ArrayBuffer>> {
    return new Float32Array((await this.gpu.readback(tracked)).buffer)
  }

  /** Frees what upload() made. @throws when anything else is left on the ledger. */
  close(): void {
    for (const tracked of this.#owned) tracked.destroy()
    const { ledger } = this.gpu
    if (ledger.count) throw new Error(`Left on the GPU after the test: ${ledger.describe()}`)
  }
}

interface Fixtures {
  /** Shared by the file's tests. */
  readonly device: Gpu
  readonly bench: KernelBench
}

export type GpuTest = TestAPI<Fixtures>

/** `it` for tests of kernels on a device opened with `wish`. */
function gpuTest(wish: DeviceWish = {}): GpuTest {
  return test.extend<Fixtures>({
    device: [
      // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of wanted fixtures out of the pattern
      async ({}, use) => {
        const gpu = await openGpu(wish)
        await use(gpu)
        gpu.close()
      },
      { scope: 'file' },
    ],
    bench: async ({ device }, use) => {
      device.device.pushErrorScope('validation')
      const bench = new KernelBench(device)
      await use(bench)
      bench.close()
      const error = await device.device.popErrorScope()
      if (error) throw new Error(`The GPU refused: ${error.message}`)
    },
  })
}

/** Tests on the device as it is. */
export const it: GpuTest = gpuTest()

/** What a kernel with teams is tested on: the device as it is, and as if it had no subgroups. */
export const TEAM_DEVICES: readonly { readonly name: string; readonly subgroups: boolean; readonly it: GpuTest }[] = [
  ...(LACKS.subgroups === false ? [] : [{ name: 'with subgroups', subgroups: true, it }]),
  { name: 'without subgroups', subgroups: false, it: gpuTest({ subgroups: false }) },
]
