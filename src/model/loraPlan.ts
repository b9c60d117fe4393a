/**
 * The LoRA kernels, bound for every layer and group. They are compiled when the first adapter comes, for the element
 * types that adapters have: each type costs seconds on a software device, and most processes meet one only. An adapter
 * of another type has them compiled once more, for both. What only some kinds of adapter need comes with the first of them.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { BoundKernel } from '../gpu/kernel.ts'
import type { FloatDtype } from '../weights/dtype.ts'
import type { GroupPlan, LayerPlan } from './forwardPlan.ts'
import type { KernelChoice } from './kernels/choice.ts'
import { loraExpandKernel } from './kernels/loraExpand.ts'
import { loraScaleBiasKernel } from './kernels/loraScaleBias.ts'
import { loraShrinkKernel } from './kernels/loraShrink.ts'
import { GROUPS } from './spec.ts'

export interface LoraKernels {
  /** Null before the first adapter with A and B. */
  readonly products: { readonly shrink: BoundKernel; readonly expand: BoundKernel } | null
  /** Null before the first adapter with row scales or biases. */
  readonly scaleBias: BoundKernel | null
}

export class LoraPlan {
  readonly #gpu: Gpu
  readonly #groups: readonly GroupPlan[]
  #dtypes: ReadonlySet<FloatDtype> = new Set()
  #scaleBias = false
  #bound: ReadonlyMap<GroupPlan, LoraKernels> = new Map()
  #last: Promise<void> = Promise.resolve()

  constructor(gpu: Gpu, layers: readonly LayerPlan[]) {
    this.#gpu = gpu
    this.#groups = layers.flatMap(({ groups }) => GROUPS.map((group) => groups[group]))
  }

  /**
   * Makes ready for adapters of these element types, beside those of earlier calls. To be awaited before a step names
   * such an adapter; steps of other adapters go on meanwhile.
   * @param scaleBias they have row scales or biases
   * @throws ShaderError, GpuLostError
   */
  prepare(dtypes: Iterable<FloatDtype>, scaleBias = false): Promise<void> {
    const wanted = [...dtypes]
    const done = this.#last.then(() => this.#extend(wanted, scaleBias))
    this.#last = done.catch(() => undefined)
    return done
  }

  /** The kernels of a group; undefined before the first prepare(). */
  of(group: GroupPlan): LoraKernels | undefined {
    return this.#bound.get(group)
  }

  async #extend(wanted: readonly FloatDtype[], wantsScaleBias: boolean): Promise<void> {
    const dtypes = new Set([...this.#dtypes, ...wanted])
    const scaleBias = this.#scaleBias || wantsScaleBias
    if (dtypes.size === this.#dtypes.size && scaleBias === this.#scaleBias) return
    const { can } = this.#gpu
    const compile = ({ definition, specialisation }: KernelChoice) => this.#gpu.kernel(definition, specialisation)
    // What is compiled already comes from the cache.
    const [shrink, expand, scale] = await Promise.all([
      dtypes.size > 0 ? compile(loraShrinkKernel(can, [...dtypes])) : null,
      dtypes.size > 0 ? compile(loraExpandKernel(can, [...dtypes])) : null,
      scaleBias ? compile(loraScaleBiasKernel()) : null,
    ])
    const bind = ({ group, lora }: GroupPlan): LoraKernels => ({
      products: shrink &&
        expand && {
          shrink: shrink.bind(lora.shrink, `shrink ${group}`),
          expand: expand.bind(lora.expand, `expand ${group}`),
        },
      scaleBias: scale?.bind(lora.scaleBias, `scale and bias ${group}`) ?? null,
    })
    this.#bound = new Map(this.#groups.map((group) => [group, bind(group)]))
    this.#dtypes = dtypes
    this.#scaleBias = scaleBias
  }
}
