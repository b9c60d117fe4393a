/**
 * Every shader that lorikeet would compile on devices without subgroups: found by opening all reference models with adapters
 * of all kinds on a device that computes nothing (Dawn's null backend), as a GPU and as a software device, with f16 and
 * without. What this leaves out is not on the way of any request.
 */
import { COPY_KERNEL, multiplyKernel } from '../../src/bench/kernels/deviceCases.ts'
import { Runtime } from '../../src/engine/runtime.ts'

import type { Capabilities } from '../../src/gpu/capabilities.ts'
import { Gpu } from '../../src/gpu/gpu.ts'
import type { GpuHost } from '../../src/gpu/host.ts'
import { type KernelDefinition, sourceOf } from '../../src/gpu/kernel.ts'
import { DawnHost } from '../../src/gpu/open.dawn.ts'
import { specialise } from '../../src/gpu/specialise.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { otherAdapters } from '../goldens/otherAdapters.ts'
import { PLAIN_ADAPTERS } from '../goldens/plainAdapters.ts'
import { referenceFolder } from './host.ts'

const MIB = 2 ** 20
/** The text alone: who compiles it puts in front what the device has. */
const NO_PREAMBLE = { subgroups: false, f16: false } as Capabilities

/** The null backend's adapter, which says of itself whether it is a software device. */
async function nullHost(software: boolean): Promise<GpuHost> {
  const host = await DawnHost.load('node', ['backend=null'])
  return {
    name: 'node',
    implementation: 'nothing',
    release: () => host.release(),
    async requestAdapter(wish) {
      const adapter = await host.requestAdapter(wish)
      const { features, limits } = adapter
      const info = { vendor: 'null', architecture: '', device: '', description: '', isFallbackAdapter: software }
      return { features, limits, info, requestDevice: (wanted) => adapter.requestDevice(wanted) } as GPUAdapter
    },
  }
}

/** A definition as it stands: nothing is left to specialise. */
export interface Shader extends KernelDefinition {
  readonly source: string
}

/** Each text once. */
export async function allShaders(): Promise<Shader[]> {
  const found = new Map<string, Shader>()
  for (const software of [false, true]) {
    for (const f16 of [false, true]) {
      const gpu = await Gpu.open(await nullHost(software), { subgroups: false, f16, timestamps: false })
      const compile = gpu.kernel.bind(gpu)
      gpu.kernel = async (definition, wanted = {}) => {
        const source = specialise(definition.name, await sourceOf(definition), wanted, NO_PREAMBLE)
        found.set(source, { ...definition, source })
        return await compile(definition, wanted)
      }
      for (const model of Object.keys(PLAIN_ADAPTERS)) await useAll(gpu, model)
      for (const { definition, specialisation } of [COPY_KERNEL, multiplyKernel(f16 ? 'f16' : 'f32')]) {
        await gpu.kernel(definition, specialisation)
      }
      gpu.close()
    }
  }
  return [...found.values()]
}

/** Loads the model, and each of its adapters; and once more in halves. */
async function useAll(gpu: Gpu, model: string): Promise<void> {
  const folder = referenceFolder(`models/${model}`)
  const sizes = { kvCacheMemory: 4 * MIB, loraMemory: 8 * MIB, maxNumBatchedTokens: 64 }
  for (const dtype of ['F32', 'F16'] as const) {
    const dtypes = { kvCacheDtype: dtype, activationDtype: dtype }
    const runtime = await Runtime.open(gpu, folder, { sizes: { ...sizes, ...dtypes } })
    for (const name of [...PLAIN_ADAPTERS[model]!, ...otherAdapters(model)]) {
      const { adapter } = await readPeftAdapter(referenceFolder(`adapters/${model}/${name}`), runtime.spec)
      runtime.adapters.add(name, name, adapter)
      const lease = runtime.adapters.lease(name)!
      await lease.ready
      lease.release()
    }
    await runtime.close()
  }
}
