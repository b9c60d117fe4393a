/**
 * Kernels that only some kinds of adapters need. They are planned with everything else, but compiled and bound when the
 * first such adapter comes: a process that never meets one pays nothing for it.
 */
import { invariant } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { BoundKernel } from '../gpu/kernel.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { KernelChoice } from './kernels/choice.ts'

/** What an adapter brings besides LoRA on the projections of the layers. */
export type AdapterFeature =
  /** Norm gains. */
  | 'ownNorms'
  /** Rows of the embedding. */
  | 'ownEmbedding'
  /** LoRA on the embedding. */
  | 'embeddingLora'
  /** Rows of the output layer. */
  | 'ownHead'

export type Buffers = Readonly<Record<string, Tracked | GPUBufferBinding>>

/** A kernel to be: get() finds the bound one. */
export interface DeferredKernel {
  readonly feature: AdapterFeature
  readonly choice: KernelChoice
  readonly buffers: Buffers
  readonly label: string
}

export class DeferredKernels {
  readonly #gpu: Gpu
  readonly #planned: DeferredKernel[] = []
  readonly #bound = new Map<DeferredKernel, BoundKernel>()
  readonly #ready = new Set<AdapterFeature>()

  constructor(gpu: Gpu) {
    this.#gpu = gpu
  }

  plan(kernel: DeferredKernel): DeferredKernel {
    this.#planned.push(kernel)
    return kernel
  }

  /** To be awaited before a step uses any of these features. @throws ShaderError, GpuLostError */
  async prepare(features: Iterable<AdapterFeature>): Promise<void> {
    const wanted = new Set([...features].filter((feature) => !this.#ready.has(feature)))
    if (wanted.size === 0) return
    const planned = this.#planned.filter(({ feature }) => wanted.has(feature))
    // Equal kernels come from the cache.
    const kernels = await Promise.all(
      planned.map(({ choice: { definition, specialisation } }) => this.#gpu.kernel(definition, specialisation)),
    )
    for (const [i, kernel] of planned.entries()) {
      this.#bound.set(kernel, kernels[i]!.bind(kernel.buffers, kernel.label))
    }
    for (const feature of wanted) this.#ready.add(feature)
  }

  get(kernel: DeferredKernel): BoundKernel {
    const bound = this.#bound.get(kernel)
    invariant(bound, `A step needs "${kernel.label}", which no adapter had prepared`)
    return bound
  }
}
