/** layer_replication: which layers an adapter makes of a base's, and what is refused. */
import { describe, expect, it } from 'vitest'
import { AdapterRefusedError } from '../../src/lora/errors.ts'
import { layoutOf, sectionOf, writeEntry } from '../../src/lora/packing.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { entryWord, slotWords } from '../../src/model/adapterTable.ts'
import type { ModelSpec, Projection } from '../../src/model/spec.ts'
import { adapterFolder, f32, loraTensors, Q_CONFIG, TINY } from './makeAdapter.ts'

/** `0-2 1-2`: ranges('0-2 1-2'). */
const ranges = (text: string) => text.split(' ').map((range) => range.split('-').map(Number))

const qOf = (...layers: number[]) => loraTensors(layers.map((layer): [number, Projection] => [layer, 'q']))

async function read(layers: unknown, tensors = qOf(0), config: object = {}, spec: ModelSpec = TINY) {
  const folder = adapterFolder({ ...Q_CONFIG, ...config, layer_replication: layers }, tensors)
  return (await readPeftAdapter(folder, spec)).adapter
}

async function refusal(...args: Parameters<typeof read>): Promise<AdapterRefusedError> {
  const outcome = await read(...args).catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(AdapterRefusedError)
  return outcome as AdapterRefusedError
}

describe('layer_replication', () => {
  it('names modules by their new numbers', async () => {
    const tensors = qOf(0, 1, 2, 3)
    const adapter = await read(ranges('0-2 0-1 1-2'), tensors)
    expect(adapter.layers).toEqual({ layers: [0, 1, 0, 1], numFolds: 2, key: '0,1,0,1' })
    expect(adapter.modules.map(({ layer }) => layer)).toEqual([0, 1, 2, 3])
    const gain = 'base_model.model.model.layers.2.input_layernorm.weight'
    const config = { modules_to_save: ['layers.2.input_layernorm'] }
    expect((await read(ranges('0-2 1-2'), { ...qOf(0), [gain]: f32([8]) }, config)).norms).toMatchObject([{ layer: 2 }])
  })

  it('counts layers_to_transform in new numbers, as PEFT does', async () => {
    const deeper = ranges('0-2 0-2')
    const adapter = await read(deeper, qOf(3), { layers_to_transform: [3] })
    expect(adapter.modules.map(({ layer }) => layer)).toEqual([3])
    expect(await refusal(deeper, qOf(1, 3), { layers_to_transform: [3] })).toMatchObject({
      code: 'adapter_tensor_unexpected',
    })
  })

  it('is part of what an adapter is, unless it changes nothing', async () => {
    const plain = await read(null)
    for (const same of [[], ranges('0-2'), ranges('0-1 1-2')]) {
      const adapter = await read(same)
      expect(adapter.digest).toBe(plain.digest)
      expect(adapter).not.toHaveProperty('layers')
    }
    const others = [ranges('0-1'), ranges('1-2 0-1'), ranges('0-2 0-1'), ranges('0-2 1-2')]
    const digests = await Promise.all(others.map(async (layers) => (await read(layers)).digest))
    expect(new Set([plain.digest, ...digests]).size).toBe(5)
  })

  it.each([
    [ranges('0-3'), 'is no range of layers'],
    [[[-1, 1]], 'is no range of layers'],
    [ranges('1-1'), 'is no range of layers'],
    [ranges('0-2 2-1'), 'is no range of layers'],
    [Array(5).fill([0, 2]), 'asks for 10 layers; at most 4 times'],
    [[[0, 1e15]], 'is no range of layers'],
  ])('refuses %j', async (layers, said) => {
    const error = await refusal(layers)
    expect(error).toMatchObject({ param: 'layer_replication', status: 400 })
    expect(error.message).toContain(said)
  })

  it('refuses what copies cannot have of their own', async () => {
    const deeper = ranges('0-2 0-1')
    expect(await refusal(deeper, qOf(0), { bias: 'all' })).toMatchObject({ code: 'adapter_unsupported', param: 'bias' })
    expect(await refusal(deeper, qOf(0), { alora_invocation_tokens: [1] })).toMatchObject({
      code: 'adapter_unsupported',
      param: 'alora_invocation_tokens',
    })
    const windows: ModelSpec = { ...TINY, slidingWindows: [null, 8] }
    expect(await refusal(deeper, qOf(0), {}, windows)).toMatchObject({ param: 'layer_replication' })
    expect((await read(deeper, qOf(0), {}, { ...TINY, slidingWindows: [8, 8] })).layers).toBeDefined()
  })

  it('refuses tensors beyond the new layers', async () => {
    expect(await refusal(ranges('0-2 0-1'), qOf(3))).toMatchObject({ code: 'adapter_tensor_unexpected' })
  })

  it('packs further layers with those whose slab they share, in slots behind the first', async () => {
    const adapter = await read(ranges('0-2 1-2 0-1 1-2'), qOf(0, 1, 2, 3, 4))
    const layout = layoutOf(adapter, TINY)
    const [first, second] = [sectionOf(layout, TINY, 0, 1), sectionOf(layout, TINY, 1, 3)]
    const placed = ({ groups }: typeof first) => groups.map(({ layer, baseLayer }) => [layer, baseLayer])
    expect(placed(first)).toEqual(ranges('0-0 2-1 4-1'))
    expect(placed(second)).toEqual(ranges('1-1 3-0'))
    // Behind what is never a place: 0 means none.
    expect([first.start, first.groups[0]!.aOffset]).toEqual([0, 16])
    expect(second.start).toBe(first.byteLength - 16)
    expect(second.start + second.byteLength).toBe(layout.byteLength)
    const words = new Uint32Array(3 * slotWords(TINY))
    for (const packed of first.groups) writeEntry(words, TINY, packed, 4096)
    expect(entryWord(TINY, 2, 'attn_in')).toBe(slotWords(TINY) + entryWord(TINY, 0, 'attn_in'))
    for (const [i, place] of [0, 2, 4].entries()) {
      expect(words[entryWord(TINY, place, 'attn_in')]).toBe((4096 + first.groups[i]!.aOffset) / 4)
    }
  })
})
