/**
 * The LoRA kernels, bound for every layer and group. They are compiled when the first adapter comes, for the element
 * types that adapters have: each type costs seconds on a software device, and most processes meet one only. An adapter
 * of another type has them compiled once more, for both. What only some kinds of adapter need comes with the first of them.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { BoundKernel } from '../gpu/kernel.ts'
import type { FloatDtype } from '../weights/dtype.ts'
import type { Buffers } from './deferredKernels.ts'
import type { KernelChoice } from './kernels/choice.ts'
import type { ActivationDtype } from './kernels/includes.ts'
import { loraExpandKernel } from './kernels/loraExpand.ts'
import { loraScaleBiasKernel } from './kernels/loraScaleBias.ts'
import { loraShrinkKernel } from './kernels/loraShrink.ts'
import type { TunedKernels } from './tunedKernels.ts'

/** What the LoRA kernels of a group of projections bind, or of one module outside the layers. */
export interface LoraGroup {
  readonly label: string
  /** Null for the embedding: no sums lead to its `down`. */
  readonly shrink: Buffers | null
  readonly expand: Buffers
  readonly scaleBias: Buffers
  readonly shrinkSplits: number
  /** Width of each projection. */
  readonly outs: readonly number[]
}

export interface LoraKernels {
  /** Null before the first adapter with A and B. */
  readonly products: { readonly shrink: BoundKernel | null; readonly expand: BoundKernel } | null
  /** Null before the first adapter with row scales or biases. */
  readonly scaleBias: BoundKernel | null
}

export class LoraPlan {
  readonly #gpu: Gpu
  readonly #tuned: TunedKernels
  readonly #groups: readonly LoraGroup[]
  readonly #activations: ActivationDtype
  #dtypes: ReadonlySet<FloatDtype> = new Set()
  #scaleBias = false
  #bound: ReadonlyMap<LoraGroup, LoraKernels> = new Map()
  #last: Promise<void> = Promise.resolve()

  /** @param activations element type of what shrink reads */
  constructor(gpu: Gpu, tuned: TunedKernels, groups: readonly LoraGroup[], activations: ActivationDtype = 'F32') {
    this.#gpu = gpu
    this.#tuned = tuned
    this.#groups = groups
    this.#activations = activations
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
  of(group: LoraGroup): LoraKernels | undefined {
    return this.#bound.get(group)
  }

  async #extend(wanted: readonly FloatDtype[], wantsScaleBias: boolean): Promise<void> {
    const dtypes = new Set([...this.#dtypes, ...wanted])
    const scaleBias = this.#scaleBias || wantsScaleBias
    if (dtypes.size === this.#dtypes.size && scaleBias === this.#scaleBias) return
    const { can } = this.#gpu
    const types = [...dtypes]
    const name = types.toSorted().join(' ')
    const compile = ({ definition, specialisation }: KernelChoice) => this.#gpu.kernel(definition, specialisation)
    // What is compiled already is not compiled again.
    const [shrink, expand, scale] = await Promise.all([
      dtypes.size > 0
        ? this.#tuned.get(`shrink ${name}`, ({ shrink }) => loraShrinkKernel(can, types, shrink, this.#activations))
        : null,
      dtypes.size > 0 ? this.#tuned.get(`expand ${name}`, ({ expand }) => loraExpandKernel(can, types, expand)) : null,
      scaleBias ? compile(loraScaleBiasKernel()) : null,
    ])
    const bind = (group: LoraGroup): LoraKernels => {
      const { label } = group
      const products = shrink &&
        expand && {
          shrink: group.shrink && shrink.bind(group.shrink, `shrink ${label}`),
          expand: expand.bind(group.expand, `expand ${label}`),
        }
      return { products, scaleBias: scale?.bind(group.scaleBias, `scale and bias ${label}`) ?? null }
    }
    this.#bound = new Map(this.#groups.map((group) => [group, bind(group)]))
    this.#dtypes = dtypes
    this.#scaleBias = scaleBias
  }
}
