import { describe, expect } from 'vitest'
import type { Tracked } from '../../src/gpu/ledger.ts'
import { type LoraGroup, LoraPlan } from '../../src/model/loraPlan.ts'
import { TunedKernels } from '../../src/model/tunedKernels.ts'
import { it, type KernelBench } from '../support/gpu.ts'

async function groupOf(bench: KernelBench): Promise<LoraGroup> {
  const buffer = (label: string): Promise<Tracked> => bench.upload(label, new Uint32Array(64))
  const [params, step, table, slab, x, down, y] = await Promise.all(
    ['params', 'step', 'table', 'slab', 'x', 'down', 'y'].map(buffer),
  )
  return {
    label: 'mlp_in',
    shrink: { params: params!, step: step!, table: table!, slab: slab!, x: x!, down: down! },
    expand: { params: params!, step: step!, table: table!, slab: slab!, down: down!, y: y! },
    scaleBias: { params: params!, step: step!, table: table!, slab: slab!, y: y! },
    shrinkSplits: 1,
    outs: [8],
  }
}

describe('LoraPlan', () => {
  it('compiles nothing before the first adapter, then only for element types it has not met', async ({ bench }) => {
    const group = await groupOf(bench)
    const { counters } = bench.gpu
    const start = counters.pipelinesCompiled
    const plan = new LoraPlan(bench.gpu, new TunedKernels(bench.gpu), [group])
    expect(plan.of(group)).toBeUndefined()
    expect(counters.pipelinesCompiled).toBe(start)

    await Promise.all([plan.prepare(['F16']), plan.prepare(['F16'])])
    const first = plan.of(group)
    expect(first?.products?.shrink?.label).toBe('shrink mlp_in')
    expect(counters.pipelinesCompiled - start).toBe(2)

    const other = plan.prepare(['F32'])
    expect(plan.of(group)).toBe(first) // steps go on with it meanwhile
    await other
    expect(plan.of(group)?.products?.expand.pipeline).not.toBe(first?.products?.expand.pipeline)
    expect(counters.pipelinesCompiled - start).toBe(4)

    await plan.prepare(['F32', 'F16'])
    expect(counters.pipelinesCompiled - start).toBe(4)
    expect(plan.of(group)?.scaleBias).toBeNull()

    await plan.prepare(['F16'], true)
    expect(plan.of(group)?.scaleBias?.label).toBe('scale and bias mlp_in')
    expect(counters.pipelinesCompiled - start).toBe(5)
  })
})
