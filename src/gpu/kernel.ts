import type { Tracked } from './ledger.ts'

/**
 * A kernel is one `.wgsl` file, its bindings by name, and the constants it is specialised with. `Gpu.kernel()` turns a
 * definition into a compiled Kernel (cached by source and constants), `Kernel.bind()` into a BoundKernel that a step
 * dispatches as often as it likes: nothing is created per step.
 */
export interface KernelDefinition {
  /** Name of the file without `.wgsl`; labels pipelines, errors and profiles. */
  readonly name: string
  /** Its text, or what gives it when the kernel is first compiled. */
  readonly source: string | (() => Promise<string>)
  /** In binding order: @binding(0), @binding(1), … of @group(0). */
  readonly bindings: readonly BindingSpec[]
}

export interface BindingSpec {
  readonly name: string
  /** 'uniform': var<uniform>; 'read': var<storage, read>; 'write': var<storage, read_write>. */
  readonly access: 'uniform' | 'read' | 'write'
}

/** Values for `const NAME = …;` and types for `alias NAME = …;` lines of a shader. */
export interface Specialisation {
  readonly constants?: Readonly<Record<string, number | boolean>>
  readonly aliases?: Readonly<Record<string, string>>
  /** Which file stands in for an include name: `//#include "team"` becomes the text of `includes.team`. */
  readonly includes?: Readonly<Record<string, string>>
}

export interface Kernel {
  readonly definition: KernelDefinition
  readonly pipeline: GPUComputePipeline
  /** Milliseconds that it took to compile, others beside it included. */
  readonly compileMs: number
  /** Every binding of the definition must be given. A Tracked stands for its whole buffer. */
  bind(buffers: Readonly<Record<string, Tracked | GPUBufferBinding>>, label?: string): BoundKernel
}

export interface BoundKernel {
  /** For profiles, such as "matmul mlp_in". */
  readonly label: string
  readonly pipeline: GPUComputePipeline
  readonly bindGroup: GPUBindGroup
}

/** Workgroups along x, y and z; a missing one is 1. */
export type Grid = readonly [x: number, y?: number, z?: number]

/** The text of a kernel. */
export async function sourceOf({ source }: KernelDefinition): Promise<string> {
  return typeof source === 'string' ? source : await source()
}
