/** What merging makes of a checkpoint: which tensors, which shape of a model, and what is refused. */
import { describe, expect, it } from 'vitest'
import { AdapterRefusedError } from '../../src/lora/errors.ts'
import { type BaseModel, mergeIntoBase, readMerged } from '../../src/lora/merge.ts'
import type { LoraModule, LoraTensor, LoraVector, NormalAdapter } from '../../src/lora/normal.ts'
import { checkCheckpoint } from '../../src/model/checkCheckpoint.ts'
import type { ModelSpec } from '../../src/model/spec.ts'
import { expectedTensors } from '../../src/model/tensorNames.ts'
import { openCheckpoint } from '../../src/weights/checkpoint.ts'
import { type FloatDtype, fromFloat32, toFloat32 } from '../../src/weights/dtype.ts'
import { memoryFolder } from '../../src/weights/folder.ts'
import { readTensor } from '../../src/weights/tensorData.ts'
import { type MadeTensor, makeSafetensors } from '../weights/makeSafetensors.ts'
import { TINY } from './makeAdapter.ts'
import { referenceFolder, referenceSpec } from './referenceAdapters.ts'

/** Every tensor of a model of this shape; element i is (i % 7) - 3. */
async function base(spec: ModelSpec, dtype: FloatDtype = 'F32'): Promise<BaseModel> {
  const tensors: Record<string, MadeTensor> = {}
  for (const [name, shape] of expectedTensors(spec)) {
    const count = shape.reduce((product, size) => product * size, 1)
    const values = Float32Array.from({ length: count }, (_, i) => (i % 7) - 3)
    tensors[name] = { dtype, shape, bytes: fromFloat32(values, dtype) }
  }
  const folder = memoryFolder('base', { 'model.safetensors': makeSafetensors(tensors) })
  return { spec, checkpoint: await openCheckpoint(folder) }
}

const values = async ({ checkpoint }: BaseModel, name: string): Promise<number[]> => {
  const tensor = checkpoint.tensors.get(name)!
  return [...toFloat32(await readTensor(tensor), tensor.dtype as FloatDtype)]
}
const floats = (length: number, value: number) => new Uint8Array(new Float32Array(length).fill(value).buffer)
const vector = (length: number, value: number): LoraVector => ({
  dtype: 'F32',
  shape: [length],
  bytes: floats(length, value),
})
const filled = (shape: readonly [number, number], value: number): LoraTensor => {
  return { dtype: 'F32', shape, bytes: floats(shape[0] * shape[1], value) }
}
const module = (projection: 'q' | 'k' | 'down', parts: Partial<LoraModule> = {}): LoraModule => {
  const shapes = { q: [8, 8], k: [4, 8], down: [8, 12] } as const
  const [out, input] = shapes[projection]
  return { layer: 0, projection, rank: 1, scale: 0.5, a: filled([1, input], 2), b: filled([out, 1], 3), ...parts }
}
const adapter = (parts: Partial<NormalAdapter>): NormalAdapter => {
  return { digest: 'd', modules: [], maxRank: 1, byteLength: 1, ...parts }
}
const refusal = (merge: () => unknown) => {
  try {
    merge()
    return null
  } catch (error) {
    expect(error).toBeInstanceOf(AdapterRefusedError)
    return error as AdapterRefusedError
  }
}

describe('merging', () => {
  it('adds scale * B A to the modules it names and leaves all else as it is', async () => {
    const before = await base(TINY)
    const after = mergeIntoBase(before, 'one', adapter({ modules: [module('q')] }))
    const name = 'model.layers.0.self_attn.q_proj.weight'
    expect(await values(after, name)).toEqual((await values(before, name)).map((value) => value + 0.5 * 2 * 3))
    const others = [...before.checkpoint.tensors].filter(([each]) => each !== name)
    for (const [each, tensor] of others) expect(after.checkpoint.tensors.get(each)).toBe(tensor)
    expect(after.spec).toEqual(TINY)
    expect(after.checkpoint.byteLength).toBe(before.checkpoint.byteLength)
  })

  it('rounds to the width of the base, and refuses what that cannot hold', async () => {
    const before = await base(TINY, 'F16')
    const small = mergeIntoBase(before, 'one', adapter({ modules: [module('q', { scale: 2 ** -12 })] }))
    const name = 'model.layers.0.self_attn.q_proj.weight'
    const wanted = (await values(before, name)).map((value) => value + 6 * 2 ** -12)
    expect(await values(small, name)).toEqual([...toFloat32(fromFloat32(Float32Array.from(wanted), 'F16'), 'F16')])
    const large = mergeIntoBase(before, 'one', adapter({ modules: [module('q', { scale: 11_000 })] }))
    await expect(values(large, name)).rejects.toMatchObject({ code: 'adapter_not_finite', param: name, status: 400 })
  })

  it('gives the base biases where the adapter has some, to all projections that have them together', async () => {
    const before = await base(TINY)
    const modules = [module('q', { loraBias: vector(8, 4) }), module('down', { layer: 1 })]
    const after = mergeIntoBase(before, 'one', adapter({ modules }))
    expect(after.spec.bias).toEqual({ qkv: true, o: false, mlp: false })
    expect(checkCheckpoint(after.spec, after.checkpoint).unused).toEqual([])
    expect(await values(after, 'model.layers.0.self_attn.q_proj.bias')).toEqual(new Array(8).fill(2))
    expect(await values(after, 'model.layers.1.self_attn.k_proj.bias')).toEqual(new Array(4).fill(0))
  })

  it('replaces or adds to biases that are there', async () => {
    const before = await base({ ...TINY, bias: { qkv: true, o: false, mlp: false } })
    const modules = [module('q', { rank: 0, bias: vector(8, 9) }), module('k', { loraBias: vector(4, 2) })]
    const after = mergeIntoBase(before, 'one', adapter({ modules }))
    expect(await values(after, 'model.layers.0.self_attn.q_proj.bias')).toEqual(new Array(8).fill(9))
    expect(await values(after, 'model.layers.0.self_attn.k_proj.bias')).toEqual([-2, -1, 0, 1])
    const v = 'model.layers.0.self_attn.v_proj.bias'
    expect(after.checkpoint.tensors.get(v)).toBe(before.checkpoint.tensors.get(v))
    const q = 'model.layers.0.self_attn.q_proj.weight'
    expect(after.checkpoint.tensors.get(q)).toBe(before.checkpoint.tensors.get(q))
  })

  it("changes the rows of a fused module that are a projection's, and gives the module one bias", async () => {
    const before = await base({ ...TINY, family: 'phi3' })
    const modules = [module('q'), module('k', { loraBias: vector(4, 2) }), module('down')]
    const after = mergeIntoBase(before, 'one', adapter({ modules }))
    const name = 'model.layers.0.self_attn.qkv_proj.weight'
    // Of 16 rows the first 8 are q's and the next 4 k's.
    const wanted = (await values(before, name)).map((value, i) => value + (i < 12 * 8 ? 3 : 0))
    expect(await values(after, name)).toEqual(wanted)
    const bias = await values(after, 'model.layers.0.self_attn.qkv_proj.bias')
    expect(bias).toEqual([...new Array(8).fill(0), ...new Array(4).fill(1), ...new Array(4).fill(0)])
    expect(checkCheckpoint(after.spec, after.checkpoint).unused).toEqual([])
  })

  it('unties embedding and output layer where only one of them changes', async () => {
    const before = await base(TINY)
    const { hiddenSize, vocabSize } = TINY
    const rows = { tokens: [2, 5], matrix: filled([2, hiddenSize], 7) }
    const lora = { rank: 1, scale: 1, a: filled([1, hiddenSize], 1), b: filled([vocabSize, 1], 1) }
    const untied = mergeIntoBase(before, 'one', adapter({ head: { lora }, embedding: { rows } }))
    expect(untied.spec.tiedEmbeddings).toBe(false)
    expect(checkCheckpoint(untied.spec, untied.checkpoint).unused).toEqual([])
    const weight = await values(before, 'model.embed_tokens.weight')
    expect(await values(untied, 'lm_head.weight')).toEqual(weight.map((value) => value + 1))
    const own = weight.map((value, i) => ([2, 5].includes(Math.floor(i / hiddenSize)) ? 7 : value))
    expect(await values(untied, 'model.embed_tokens.weight')).toEqual(own)
    // Tokens that were trained on both sides stay one matrix.
    const tied = mergeIntoBase(before, 'one', adapter({ head: { rows: { ...rows } }, embedding: { rows } }))
    expect(tied.spec.tiedEmbeddings).toBe(true)
    expect(tied.checkpoint.tensors.has('lm_head.weight')).toBe(false)
    expect(await values(tied, 'model.embed_tokens.weight')).toEqual(own)
  })

  it('refuses what is more than other weights, by name and kind', async () => {
    const before = await base(TINY)
    const lora = { rank: 1, scale: 1, a: filled([1, 8], 1), b: filled([32, 1], 1), loraBias: vector(32, 1) }
    const bad: readonly (readonly [Partial<NormalAdapter>, string])[] = [
      [{ modules: [module('q')], invocation: [1] }, 'has an invocation'],
      [{ layers: {} as never }, 'has layers of its own'],
      [{ head: { lora } }, 'has a bias on lm_head'],
    ]
    for (const [parts, problem] of bad) {
      const error = refusal(() => mergeIntoBase(before, 'one', adapter(parts)))
      expect(error).toMatchObject({ code: 'adapter_unsupported', param: 'merge', status: 400 })
      expect(error!.message).toMatch(`The lora adapter 'one' ${problem}`)
    }
  })

  it.each([
    ['alora', 'adapter_unsupported'],
    ['layer-replication', 'adapter_unsupported'],
  ])('refuses the reference adapter %s', async (name, code) => {
    const spec = referenceSpec('llama-tiny')
    const checkpoint = await openCheckpoint(referenceFolder('models/llama-tiny'))
    const folder = referenceFolder(`adapters/llama-tiny/${name}`)
    await expect(readMerged({ spec, checkpoint }, { name, folder })).rejects.toMatchObject({ code })
    await checkpoint.close()
  })

  it('compares weights of the base that come along with the checkpoint', async () => {
    const spec = referenceSpec('llama-tiny')
    const checkpoint = await openCheckpoint(referenceFolder('models/llama-tiny'))
    const folder = referenceFolder('adapters/llama-tiny/lora-embed')
    const { merged } = await readMerged({ spec, checkpoint }, { name: 'x', folder })
    expect(merged).toMatchObject({ name: 'x', root: folder.name })
    const another = mergeIntoBase({ spec, checkpoint }, 'x', {
      ...adapter({}),
      embedding: { rows: { tokens: [9], matrix: filled([1, spec.hiddenSize], 5) } },
    })
    await expect(readMerged(another, { name: 'x', folder })).rejects.toMatchObject({ code: 'adapter_changed_base' })
    const trusted = { name: 'x', folder, accept: ['adapter_changed_base'] as const }
    expect((await readMerged(another, trusted)).merged.notes).toHaveLength(1)
    await checkpoint.close()
  })
})
