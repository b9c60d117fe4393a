/** Compiles kernels once per (source, specialisation) and makes their bind groups. */
import { invariant } from '../errors.ts'
import type { Capabilities } from './capabilities.ts'
import type { Counters } from './counters.ts'
import { ShaderError } from './errors.ts'
import {
  type BindingSpec,
  type BoundKernel,
  type Kernel,
  type KernelDefinition,
  type Specialisation,
  sourceOf,
} from './kernel.ts'
import type { Tracked } from './ledger.ts'
import { specialise } from './specialise.ts'

const BUFFER_TYPES: Readonly<Record<BindingSpec['access'], GPUBufferBindingType>> = {
  uniform: 'uniform',
  read: 'read-only-storage',
  write: 'storage',
}

export class KernelCache {
  readonly #device: GPUDevice
  readonly #can: Capabilities
  readonly #counters: Counters
  readonly #kernels = new Map<string, Promise<Kernel>>()

  constructor(device: GPUDevice, can: Capabilities, counters: Counters) {
    this.#device = device
    this.#can = can
    this.#counters = counters
  }

  /** @throws ShaderError with the compiler's messages; PartMissingError */
  async get(definition: KernelDefinition, wanted: Specialisation): Promise<Kernel> {
    const code = specialise(definition.name, await sourceOf(definition), wanted, this.#can)
    const cached = this.#kernels.get(code)
    if (cached) return await cached
    const compiling = this.#compile(definition, code)
    this.#kernels.set(code, compiling)
    compiling.catch(() => this.#kernels.delete(code))
    return await compiling
  }

  async #compile(definition: KernelDefinition, code: string): Promise<Kernel> {
    const device = this.#device
    const layout = device.createBindGroupLayout({
      label: definition.name,
      entries: definition.bindings.map(({ access }, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: BUFFER_TYPES[access] },
      })),
    })
    const start = performance.now()
    // In a scope of its own, so that a compile error is thrown below and not reported twice.
    device.pushErrorScope('validation')
    const module = device.createShaderModule({ label: definition.name, code })
    void device.popErrorScope()
    let pipeline: GPUComputePipeline
    try {
      pipeline = await device.createComputePipelineAsync({
        label: definition.name,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main' },
      })
    } catch (cause) {
      const { messages } = await module.getCompilationInfo()
      const lines = messages.map(({ type, lineNum, linePos, message }) => `${type} ${lineNum}:${linePos} ${message}`)
      throw new ShaderError(`${definition.name}.wgsl did not compile: ${lines.join('; ') || String(cause)}`, { cause })
    }
    this.#counters.pipelinesCompiled++
    return {
      definition,
      pipeline,
      compileMs: performance.now() - start,
      bind: (buffers, label = definition.name) => this.#bind(definition, pipeline, layout, buffers, label),
    }
  }

  #bind(
    definition: KernelDefinition,
    pipeline: GPUComputePipeline,
    layout: GPUBindGroupLayout,
    buffers: Readonly<Record<string, Tracked | GPUBufferBinding>>,
    label: string,
  ): BoundKernel {
    const entries = definition.bindings.map(({ name }, binding) => {
      const given = buffers[name]
      invariant(given, `${definition.name}.wgsl: nothing is bound to "${name}"`)
      return { binding, resource: 'byteLength' in given ? { buffer: given.buffer } : given }
    })
    invariant(
      Object.keys(buffers).length === entries.length,
      `${definition.name}.wgsl has no binding for one of ${Object.keys(buffers)}`,
    )
    this.#counters.bindGroupsCreated++
    return { label, pipeline, bindGroup: this.#device.createBindGroup({ label, layout, entries }) }
  }
}
