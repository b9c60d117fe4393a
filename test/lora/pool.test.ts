/** Adapters of several kinds that take each other's place on a device that offers no more than WebGPU promises. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Runtime } from '../../src/engine/runtime.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { slotWords } from '../../src/model/adapterTable.ts'
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
    for (const name of [...NAMES, 'qv-r8', 'dora-f16', 'attn-r16']) {
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

  it('writes what came from files as it lies in host memory: once for each slab, and its part of the table', async () => {
    const before = gpu.counters.snapshot()
    const lease = runtime.adapters.lease('attn-r16')!
    await lease.ready
    lease.release()
    const { uploads, uploadedBytes } = gpu.counters.since(before)
    const { adapter } = await readPeftAdapter(referenceFolder('adapters/llama-tiny/attn-r16'), runtime.spec)
    const table = slotWords(runtime.spec) * 4
    // A slab begins with 16 bytes where nothing lies.
    expect([uploads, uploadedBytes]).toEqual([3 + 1, adapter.image!.bytes.byteLength + 2 * 16 + table])
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

describe('what is free in pieces', () => {
  let gpu: Gpu
  let runtime: Runtime

  beforeAll(async () => {
    gpu = await openGpu()
    runtime = await Runtime.open(gpu, referenceFolder('models/llama-tiny'), {
      sizes: { kvCacheMemory: 4 * MIB, loraMemory: 672 * 1024, maxNumBatchedTokens: 64, maxLoras: 8 },
    })
  })
  afterAll(async () => {
    await runtime.close()
    expect(gpu.ledger.describe()).toBe('')
    gpu.close()
  })

  const add = async (name: string) => {
    const folder = referenceFolder(`adapters/llama-tiny/${name}`)
    runtime.adapters.add(name, folder.name, (await readPeftAdapter(folder, runtime.spec)).adapter)
  }
  const bring = async (name: string) => {
    await add(name)
    const lease = runtime.adapters.lease(name)!
    await lease.ready
    lease.release()
  }
  const speak = async (name: string) => {
    const golden = goldenOf(`llama-tiny/${name}`).cases[0]!
    const expected = certain(golden)
    const tokens = await greedyTokens(runtime, golden.input_ids, runtime.adapters.lease(name))
    expect(tokens.slice(0, expected.length), name).toEqual(expected)
  }

  it('is brought together for who needs it in one, and what lies between is moved while it runs', async () => {
    // Row scales, norm gains and rows of the embedding among what is moved.
    const [stay, go] = [
      ['dora-r8', 'save-norms-embed'],
      ['r5', 'attn-r16', 'rslora-r16'],
    ]
    for (const name of ['r5', 'dora-r8', 'attn-r16', 'save-norms-embed', 'rslora-r16']) await bring(name)
    for (const name of go) runtime.adapters.remove(name)
    expect([runtime.adapters.residentCount, runtime.adapters.moves.count]).toEqual([2, 0])
    const speaking = stay.map((name) => speak(name))
    await bring('mlp-r32')
    await Promise.all(speaking)
    for (const name of [...stay, 'mlp-r32']) await speak(name)
    expect(runtime.adapters.residentCount).toBe(3)
    expect(runtime.adapters.status().map(({ name, usage }) => [name, usage.arrivals])).toEqual([
      ['dora-r8', 1],
      ['save-norms-embed', 1],
      ['mlp-r32', 1],
    ])
    expect(runtime.adapters.moves.count).toBeGreaterThanOrEqual(2)
    expect(runtime.adapters.moves.bytes % (16 * 1024)).toBe(0)
  })

  it('is not enough where it is too little: then others leave', async () => {
    const { count } = runtime.adapters.moves
    await bring('all-linear-r64')
    expect(runtime.adapters.status().filter(({ tier }) => tier === 'gpu')).toMatchObject([{ name: 'all-linear-r64' }])
    expect(runtime.adapters.moves.count).toBe(count)
    await speak('all-linear-r64')
  })
})
