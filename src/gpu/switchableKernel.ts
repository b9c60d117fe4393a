/**
 * A kernel whose pipeline can be exchanged for that of another one with the same bindings, everywhere it is bound and
 * between two steps: bind groups fit every pipeline whose layout has the same entries.
 */
import { invariant } from '../errors.ts'
import type { BoundKernel, Kernel, KernelDefinition } from './kernel.ts'

export class SwitchableKernel implements Kernel {
  #current: Kernel

  constructor(first: Kernel) {
    this.#current = first
  }

  get definition(): KernelDefinition {
    return this.#current.definition
  }

  get pipeline(): GPUComputePipeline {
    return this.#current.pipeline
  }

  get compileMs(): number {
    return this.#current.compileMs
  }

  bind(buffers: Parameters<Kernel['bind']>[0], label?: string): BoundKernel {
    return this.share(this.#current.bind(buffers, label))
  }

  /** Bound to what `other`, of the same bindings, is bound to. */
  share({ label, bindGroup }: BoundKernel): BoundKernel {
    const pipeline = () => this.#current.pipeline
    return {
      label,
      bindGroup,
      get pipeline() {
        return pipeline()
      },
    }
  }

  /** From now on: what was recorded before stays as it is. */
  switchTo(next: Kernel): void {
    const shape = ({ definition }: Kernel) => definition.bindings.map(({ access }) => access).join()
    invariant(
      shape(next) === shape(this.#current),
      `${next.definition.name} binds other things than the kernel before it`,
    )
    this.#current = next
  }
}
