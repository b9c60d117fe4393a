/** Adapters of several kinds that take each other's place on a device that offers no more than WebGPU promises. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Runtime } from '../../src/engine/runtime.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { certain, goldenOf, greedyTokens } from '../goldens/golden.ts'
import { openGpu, referenceFolder } from '../support/host.ts'

const MIB = 1024 * 1024
const NAMES = ['dora-r8', 'dora-embed', 'save-norms-embed', 'lora-bias', 'save-lm-head', 'layer-replication']

describe('one place for adapters of five kinds', () => {
  let gpu: Gpu
  let runtime: Runtime

  beforeAll(async () => {
    gpu = await openGpu({ defaultLimits: true })
    runtime = await Runtime.open(gpu, referenceFolder('models/llama-tiny'), {
      // A slab for each of the three layers: more than 128 MiB cannot be bound.
      sizes: { kvCacheMemory: 4 * MIB, loraMemory: 300 * MIB, maxNumBatchedTokens: 64, maxLoras: 1 },
    })
    for (const name of [...NAMES, 'qv-r8', 'dora-f16']) {
      const folder = referenceFolder(`adapters/llama-tiny/${name}`)
      runtime.adapters.add(name, folder.name, (await readPeftAdapter(folder, runtime.spec)).adapter)
    }
  })
  afterAll(async () => {
    await runtime.close()
    expect(gpu.ledger.describe()).toBe('')
    gpu.close()
  })

  it('lies in a slab for each layer', () => {
    expect(gpu.ledger.describe().match(/adapter slab/g)).toHaveLength(3)
    expect(gpu.can.maxBindingBytes).toBe(128 * MIB)
  })

  it('gives each its own tokens, first and later, whatever was there before', async () => {
    // Forwards and backwards: each follows each of its neighbours.
    for (const name of [...NAMES, ...NAMES.toReversed()]) {
      const golden = goldenOf(`llama-tiny/${name}`).cases[0]!
      const expected = certain(golden)
      const tokens = await greedyTokens(runtime, golden.input_ids, runtime.adapters.lease(name))
      expect(tokens.slice(0, expected.length), name).toEqual(expected)
    }
    expect(runtime.adapters.residentCount).toBe(1)
  })

  it('keeps the kernels of further layers while an adapter runs them', async () => {
    const numParams = async (name: string) => {
      const lease = runtime.adapters.lease(name)!
      await lease.ready
      lease.release()
      return gpu.ledger.describe().match(/kernel params/g)?.length
    }
    const before = await numParams('qv-r8')
    expect(await numParams('layer-replication')).toBe(before! + 1)
    expect(await numParams('qv-r8')).toBe(before)
  })

  it('works out row scales once for each set of bytes', async () => {
    const arrive = async (name: string) => {
      const before = gpu.counters.snapshot()
      const lease = runtime.adapters.lease(name)!
      await lease.ready
      lease.release()
      return gpu.counters.since(before).dispatches
    }
    expect(await arrive('qv-r8')).toBe(0)
    // Three layers of seven projections in four groups.
    expect(await arrive('dora-f16')).toBe(12)
    await arrive('qv-r8')
    expect(await arrive('dora-f16')).toBe(0)
  })
})
