/**
 * The LoRA kernels, bound for every layer and group. They are compiled when the first adapter comes, for the element
 * types that adapters have: each type costs seconds on a software device, and most processes meet one only. An adapter
 * of another type has them compiled once more, for both.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { BoundKernel } from '../gpu/kernel.ts'
import type { FloatDtype } from '../weights/dtype.ts'
import type { GroupPlan, LayerPlan } from './forwardPlan.ts'
import type { KernelChoice } from './kernels/choice.ts'
import { loraExpandKernel } from './kernels/loraExpand.ts'
import { loraShrinkKernel } from './kernels/loraShrink.ts'
import { GROUPS } from './spec.ts'

export interface LoraKernels {
  readonly shrink: BoundKernel
  readonly expand: BoundKernel
}

export class LoraPlan {
  readonly #gpu: Gpu
  readonly #groups: readonly GroupPlan[]
  #dtypes: ReadonlySet<FloatDtype> = new Set()
  #bound: ReadonlyMap<GroupPlan, LoraKernels> = new Map()
  #last: Promise<void> = Promise.resolve()

  constructor(gpu: Gpu, layers: readonly LayerPlan[]) {
    this.#gpu = gpu
    this.#groups = layers.flatMap(({ groups }) => GROUPS.map((group) => groups[group]))
  }

  /**
   * Makes ready for adapters of these element types, beside those of earlier calls. To be awaited before a step names
   * such an adapter; steps of other adapters go on meanwhile.
   * @throws ShaderError, GpuLostError
   */
  prepare(dtypes: Iterable<FloatDtype>): Promise<void> {
    const wanted = [...dtypes]
    const done = this.#last.then(() => this.#extend(wanted))
    this.#last = done.catch(() => undefined)
    return done
  }

  /** The kernels of a group; undefined before the first prepare(). */
  of(group: GroupPlan): LoraKernels | undefined {
    return this.#bound.get(group)
  }

  async #extend(wanted: readonly FloatDtype[]): Promise<void> {
    const dtypes = new Set([...this.#dtypes, ...wanted])
    if (dtypes.size === this.#dtypes.size) return
    const { can } = this.#gpu
    const compile = ({ definition, specialisation }: KernelChoice) => this.#gpu.kernel(definition, specialisation)
    const [shrink, expand] = await Promise.all([
      compile(loraShrinkKernel(can, [...dtypes])),
      compile(loraExpandKernel(can, [...dtypes])),
    ])
    this.#bound = new Map(
      this.#groups.map((group) => {
        const bound = {
          shrink: shrink.bind(group.lora.shrink, `shrink ${group.group}`),
          expand: expand.bind(group.lora.expand, `expand ${group.group}`),
        }
        return [group, bound]
      }),
    )
    this.#dtypes = dtypes
  }
}
