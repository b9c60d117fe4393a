/** Adapters of a base whose projections are fused: parts that share A, and rows of what is fused. */
import { describe, expect, it } from 'vitest'
import { AdapterRefusedError } from '../../src/lora/errors.ts'
import type { LoraTensor, LoraVector } from '../../src/lora/normal.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import type { ModelSpec } from '../../src/model/spec.ts'
import { adapterFolder, f32, TINY } from './makeAdapter.ts'

/** q, k and v are 8, 4 and 4 rows; gate and up 12 each. */
const PHI3: ModelSpec = { ...TINY, family: 'phi3' }
const QKV = 'base_model.model.model.layers.1.self_attn.qkv_proj'
const GATE_UP = 'base_model.model.model.layers.0.mlp.gate_up_proj'
const CONFIG = { peft_type: 'LORA', r: 2, lora_alpha: 4, target_modules: ['qkv_proj', 'gate_up_proj'] }

const qkv = { [`${QKV}.lora_A.weight`]: f32([2, 8]), [`${QKV}.lora_B.weight`]: f32([16, 2], 100) }
const gateUp = { [`${GATE_UP}.lora_A.weight`]: f32([2, 8]), [`${GATE_UP}.lora_B.weight`]: f32([24, 2], 200) }

async function read(config: object, tensors: Parameters<typeof adapterFolder>[1]) {
  return (await readPeftAdapter(adapterFolder({ ...CONFIG, ...config }, tensors), PHI3)).adapter
}

async function refusal(...args: Parameters<typeof read>): Promise<AdapterRefusedError> {
  const outcome = await read(...args).catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(AdapterRefusedError)
  return outcome as AdapterRefusedError
}

const first = ({ bytes }: LoraTensor | LoraVector) => new Float32Array(bytes.slice().buffer)[0]

describe('an adapter of a fused base', () => {
  it('is cut into its projections, in the order of their rows', async () => {
    const { modules, byteLength } = await read({}, { ...qkv, ...gateUp })
    expect(modules.map(({ layer, projection, b }) => [layer, projection, b.shape[0], first(b)])).toEqual([
      [0, 'gate', 12, 200],
      [0, 'up', 12, 224],
      [1, 'q', 8, 100],
      [1, 'k', 4, 116],
      [1, 'v', 4, 124],
    ])
    expect(modules[3]!.a).toBe(modules[2]!.a)
    expect(byteLength).toBe((16 + 32 + 16 + 48) * 4)
  })

  it('has its magnitudes and biases cut alike', async () => {
    const magnitude = { [`${QKV}.lora_magnitude_vector`]: f32([16], 1) }
    const dora = await read({ use_dora: true }, { ...qkv, ...magnitude })
    expect(dora.modules.map((module) => first(module.magnitude!))).toEqual([1, 9, 13])
    const biased = await read({ lora_bias: true }, { ...qkv, [`${QKV}.lora_B.bias`]: f32([16], 1) })
    expect(biased.modules.map(({ loraBias }) => [loraBias!.shape, first(loraBias!)])).toEqual([
      [[8], 1],
      [[4], 9],
      [[4], 13],
    ])
  })

  it('takes rank and alpha by the name of the fused module', async () => {
    const { modules } = await read(
      { r: 5, rank_pattern: { qkv_proj: 2 }, alpha_pattern: { 'layers.1.self_attn.qkv_proj': 3 } },
      qkv,
    )
    expect(modules.map(({ rank, scale }) => [rank, scale])).toEqual(Array(3).fill([2, 1.5]))
    expect((await read({ target_modules: 'all-linear' }, qkv)).modules).toHaveLength(3)
  })

  it('is refused by the names of the file', async () => {
    const short = { ...qkv, [`${QKV}.lora_B.weight`]: f32([12, 2]) }
    const error = await refusal({}, short)
    expect(error).toMatchObject({ code: 'adapter_shape_mismatch', param: `${QKV}.lora_B.weight` })
    expect(error.message).toContain('[16, 2]')
    expect(await refusal({ target_modules: ['q_proj'] }, qkv)).toMatchObject({ code: 'adapter_target_invalid' })
    const { target_modules: _, ...silent } = CONFIG
    const folder = adapterFolder(silent, qkv)
    await expect(readPeftAdapter(folder, PHI3)).rejects.toMatchObject({ code: 'adapter_target_invalid' })
    expect(await refusal({ modules_to_save: ['qkv_proj'] }, qkv)).toMatchObject({ param: 'modules_to_save' })
    const unfusedBase = readPeftAdapter(adapterFolder(CONFIG, qkv), TINY)
    await expect(unfusedBase).rejects.toMatchObject({ code: 'adapter_target_invalid' })
  })
})
