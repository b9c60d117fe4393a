import { describe, expect } from 'vitest'
import { InvariantError } from '../../src/errors.ts'
import { DeferredKernels } from '../../src/model/deferredKernels.ts'
import { embedDownKernel } from '../../src/model/kernels/embedDown.ts'
import { ownEmbedKernel } from '../../src/model/kernels/ownEmbed.ts'
import { it, type KernelBench } from '../support/gpu.ts'

async function buffersOf(bench: KernelBench, last: string) {
  const names = ['params', 'step', 'table', 'slab', 'registers', last]
  const buffers = await Promise.all(names.map((name) => bench.upload(name, new Uint32Array(64))))
  return Object.fromEntries(names.map((name, i) => [name, buffers[i]!]))
}

describe('DeferredKernels', () => {
  it('are compiled when an adapter brings what they are for, once, and nothing else with them', async ({ bench }) => {
    const deferred = new DeferredKernels(bench.gpu)
    const { counters } = bench.gpu
    const start = counters.pipelinesCompiled
    const plan = (feature: 'ownEmbedding' | 'embeddingLora', last: string, label: string) => async () => {
      const choice = feature === 'ownEmbedding' ? ownEmbedKernel() : embedDownKernel()
      return deferred.plan({ feature, choice, buffers: await buffersOf(bench, last), label })
    }
    const one = await plan('ownEmbedding', 'residual', 'one')()
    const two = await plan('ownEmbedding', 'residual', 'two')()
    const other = await plan('embeddingLora', 'down', 'other')()
    expect(counters.pipelinesCompiled).toBe(start)
    expect(() => deferred.get(one)).toThrow(InvariantError)

    await Promise.all([deferred.prepare(['ownEmbedding']), deferred.prepare(['ownEmbedding', 'ownNorms'])])
    expect(counters.pipelinesCompiled - start).toBe(1)
    expect([deferred.get(one).label, deferred.get(two).label]).toEqual(['one', 'two'])
    expect(deferred.get(one).pipeline).toBe(deferred.get(two).pipeline)
    expect(() => deferred.get(other)).toThrow('"other"')

    const bound = deferred.get(one)
    await deferred.prepare(['ownEmbedding'])
    expect(deferred.get(one)).toBe(bound)
  })
})
