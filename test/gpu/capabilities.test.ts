import { describe, expect, it } from 'vitest'
import { type DeviceWish, deviceDescriptor } from '../../src/gpu/capabilities.ts'

/** An adapter with subgroups of these sizes. */
function adapter(subgroupMinSize: number, subgroupMaxSize: number): GPUAdapter {
  const limits = { maxBufferSize: 1, maxStorageBufferBindingSize: 2 }
  return { features: new Set(['subgroups', 'shader-f16']), info: { subgroupMinSize, subgroupMaxSize }, limits } as never
}

describe('deviceDescriptor', () => {
  const features = (sizes: [number, number], wish: DeviceWish) => [
    ...(deviceDescriptor(adapter(...sizes), wish).requiredFeatures ?? []),
  ]

  it('asks for what there is and what is wished for', () => {
    expect(features([8, 8], {})).toEqual(['subgroups', 'shader-f16'])
    expect(features([8, 8], { subgroups: false, f16: false })).toEqual([])
    expect(Object.keys(deviceDescriptor(adapter(8, 8), { defaultLimits: true }).requiredLimits!)).toEqual([])
  })

  it('leaves subgroups of changing size alone where every batch must have the same bits', () => {
    expect(features([8, 32], {})).toContain('subgroups')
    expect(features([8, 32], { batchInvariant: true })).toEqual(['shader-f16'])
    expect(features([32, 32], { batchInvariant: true })).toContain('subgroups')
  })
})
