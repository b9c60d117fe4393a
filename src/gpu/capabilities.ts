/** What a device can do, as plain values: the only thing kernels are chosen by. */
import type { Faults } from './faults.ts'

export interface Capabilities {
  /** Vendor, architecture and description, as the driver says them. */
  readonly adapter: string
  /** True for lavapipe, SwiftShader and their like: a CPU pretends to be a GPU. */
  readonly software: boolean
  readonly subgroups: boolean
  /** Invocations per subgroup; a device may choose between min and max per shader. 0 without subgroups. */
  readonly subgroupMinSize: number
  readonly subgroupMaxSize: number
  readonly f16: boolean
  readonly timestamps: boolean
  readonly maxBufferBytes: number
  readonly maxBindingBytes: number
  readonly maxStorageBuffers: number
  readonly maxWorkgroupsPerDimension: number
}

/** Capabilities that can be switched off: to test what other browsers lack, or to work round a driver. */
export interface DeviceWish {
  /** Which WebGPU to use where a host has two, as Deno may: Dawn (npm package `webgpu`) or the host's own. Default: Dawn first. */
  readonly webgpu?: 'dawn' | 'builtin'
  /** false: behave as on naga (Deno's own WebGPU, Firefox), which has no subgroups. */
  readonly subgroups?: boolean
  /**
   * true: leave subgroups alone where the device may choose between several sizes of them, shader by shader. A sum over
   * lanes then has one order everywhere, and the same request the same bits whatever it shares a step with.
   */
  readonly batchInvariant?: boolean
  readonly f16?: boolean
  readonly timestamps?: boolean
  /** true: ask for no limits beyond WebGPU's defaults, as some phones offer no more. */
  readonly defaultLimits?: boolean
  /** Accidents that tests and measurements inject. */
  readonly faults?: Faults
}

const WANTED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxStorageBuffersPerShaderStage',
] as const

/** The descriptor that asks `adapter` for everything lorikeet can use and `wish` allows. */
export function deviceDescriptor(adapter: GPUAdapter, wish: DeviceWish): GPUDeviceDescriptor {
  const features: GPUFeatureName[] = []
  const want = (feature: string, allowed: boolean | undefined) => {
    if (allowed !== false && adapter.features.has(feature)) features.push(feature as GPUFeatureName)
  }
  const { subgroupMinSize, subgroupMaxSize } = adapter.info
  want('subgroups', wish.batchInvariant && subgroupMinSize !== subgroupMaxSize ? false : wish.subgroups)
  want('shader-f16', wish.f16)
  want('timestamp-query', wish.timestamps)
  const limits: Record<string, number> = {}
  if (!wish.defaultLimits) for (const name of WANTED_LIMITS) limits[name] = adapter.limits[name]
  return { label: 'lorikeet', requiredFeatures: features, requiredLimits: limits }
}

/** Reads what the device that was really granted can do. */
export function capabilitiesOf(adapter: GPUAdapter, device: GPUDevice): Capabilities {
  const { info } = adapter
  const subgroups = device.features.has('subgroups')
  const adapterName = [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(' ')
  return {
    adapter: adapterName || 'unnamed adapter',
    software:
      info.isFallbackAdapter === true || /llvmpipe|lavapipe|swiftshader|basic render|software/i.test(adapterName),
    subgroups,
    subgroupMinSize: subgroups ? (info.subgroupMinSize ?? 4) : 0,
    subgroupMaxSize: subgroups ? (info.subgroupMaxSize ?? 128) : 0,
    f16: device.features.has('shader-f16'),
    timestamps: device.features.has('timestamp-query'),
    maxBufferBytes: device.limits.maxBufferSize,
    maxBindingBytes: device.limits.maxStorageBufferBindingSize,
    maxStorageBuffers: device.limits.maxStorageBuffersPerShaderStage,
    maxWorkgroupsPerDimension: device.limits.maxComputeWorkgroupsPerDimension,
  }
}
