/**
 * The kernels that can be tuned, as a forward pass has them. Another tuning is adopted between two steps: its pipelines
 * are compiled first, while steps go on with the old ones, then all are exchanged together with the grids.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { Kernel } from '../gpu/kernel.ts'
import { SwitchableKernel } from '../gpu/switchableKernel.ts'
import type { KernelChoice } from './kernels/choice.ts'
import { defaultTuning, type KernelTuning } from './kernels/tuning.ts'

type Choose = (tuning: KernelTuning) => KernelChoice

export class TunedKernels {
  readonly #gpu: Gpu
  readonly #kernels = new Map<string, { readonly kernel: SwitchableKernel; readonly choose: Choose }>()
  #tuning: KernelTuning
  #last: Promise<unknown> = Promise.resolve()

  constructor(gpu: Gpu, tuning: KernelTuning = defaultTuning(gpu.can)) {
    this.#gpu = gpu
    this.#tuning = tuning
  }

  /** That of the pipelines as they are now: grids are made for it. */
  get tuning(): KernelTuning {
    return this.#tuning
  }

  /** The kernel of this name, which follows the tuning. @throws ShaderError, GpuLostError */
  get(name: string, choose: Choose): Promise<SwitchableKernel> {
    return this.#inTurn(async () => {
      const known = this.#kernels.get(name)
      if (known) return known.kernel
      const kernel = new SwitchableKernel(await this.#compile(choose(this.#tuning)))
      this.#kernels.set(name, { kernel, choose })
      return kernel
    })
  }

  /** Resolves when steps are recorded with it. @throws ShaderError, GpuLostError; the old one stays then. */
  adopt(tuning: KernelTuning): Promise<void> {
    return this.#inTurn(async () => {
      const all = [...this.#kernels.values()]
      const next = await Promise.all(all.map(({ choose }) => this.#compile(choose(tuning))))
      for (const [i, { kernel }] of all.entries()) kernel.switchTo(next[i]!)
      this.#tuning = tuning
    })
  }

  #compile({ definition, specialisation }: KernelChoice): Promise<Kernel> {
    return this.#gpu.kernel(definition, specialisation)
  }

  /** So that no kernel is made for one tuning while another takes its place. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#last.then(task)
    this.#last = done.catch(() => undefined)
    return done
  }
}
