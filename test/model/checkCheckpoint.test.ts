import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { directoryFolder } from '../../src/hosts/node/files.ts'
import { checkCheckpoint, withActualHead } from '../../src/model/checkCheckpoint.ts'
import { readModelSpec } from '../../src/model/config.ts'
import { expectedTensors } from '../../src/model/tensorNames.ts'
import { type Checkpoint, openCheckpoint } from '../../src/weights/checkpoint.ts'
import { memoryFolder } from '../../src/weights/folder.ts'
import { reference } from '../fixtures.ts'
import { type MadeTensor, makeSafetensors } from '../weights/makeSafetensors.ts'

const specOf = (model: string) =>
  readModelSpec(JSON.parse(readFileSync(reference(`models/${model}/config.json`), 'utf8')))

const config = {
  model_type: 'qwen2',
  hidden_size: 8,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  intermediate_size: 12,
  num_hidden_layers: 2,
  vocab_size: 5,
  tie_word_embeddings: true,
}
const spec = readModelSpec(config)
const zeros = (shape: readonly number[], dtype = 'F16'): MadeTensor => {
  const width = dtype === 'F32' ? 4 : 2
  return { dtype, shape, bytes: new Uint8Array(shape.reduce((product, size) => product * size, width)) }
}

/** A checkpoint that fits `spec`, changed. */
async function checkpointWith(change: Record<string, MadeTensor | null> = {}): Promise<Checkpoint> {
  const tensors: Record<string, MadeTensor> = {}
  for (const [name, shape] of expectedTensors(spec)) tensors[name] = zeros(shape)
  for (const [name, tensor] of Object.entries(change)) {
    if (tensor) tensors[name] = tensor
    else delete tensors[name]
  }
  return await openCheckpoint(memoryFolder('m', { 'model.safetensors': makeSafetensors(tensors) }))
}

describe('expectedTensors', () => {
  it.each(['llama-tiny', 'llama-tiny-sharded', 'llama3-tiny', 'mistral-tiny', 'qwen2-tiny', 'qwen3-tiny'])(
    'is exactly what %s holds',
    async (model) => {
      const checkpoint = await openCheckpoint(directoryFolder(reference(`models/${model}`)))
      const found = [...checkpoint.tensors.values()].map(({ name, shape }) => [name, shape])
      expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expectedTensors(specOf(model))))
      expect(checkCheckpoint(specOf(model), checkpoint)).toEqual({ unused: [] })
      await checkpoint.close()
    },
  )

  it('has the fused matrices of phi3 in place of their projections', () => {
    const fused = expectedTensors(readModelSpec({ ...config, model_type: 'phi3' }))
    expect(fused.get('model.layers.1.self_attn.qkv_proj.weight')).toEqual([16, 8])
    expect(fused.get('model.layers.1.mlp.gate_up_proj.weight')).toEqual([24, 8])
    expect([...fused.keys()].filter((name) => /\.(q|k|v|gate|up)_proj\./.test(name))).toEqual([])
  })

  it('has the biases the config asks for', () => {
    const names = (more: object) =>
      [...expectedTensors(readModelSpec({ ...config, num_hidden_layers: 1, ...more })).keys()]
        .filter((name) => name.endsWith('bias'))
        .map((name) => name.split('.').at(-2))
    expect(names({})).toEqual(['q_proj', 'k_proj', 'v_proj'])
    expect(names({ model_type: 'qwen3', attention_bias: true })).toEqual(['q_proj', 'k_proj', 'v_proj', 'o_proj'])
    expect(names({ model_type: 'llama', attention_bias: true, mlp_bias: true })).toEqual([
      'q_proj',
      'k_proj',
      'v_proj',
      'o_proj',
      'gate_proj',
      'up_proj',
      'down_proj',
    ])
    expect(names({ model_type: 'mistral' })).toEqual([])
  })
})

describe('checkCheckpoint', () => {
  it('accepts what fits, in any float type', async () => {
    const checkpoint = await checkpointWith({
      'model.norm.weight': zeros([8], 'F32'),
      'model.layers.1.mlp.up_proj.weight': zeros([12, 8], 'BF16'),
    })
    expect(checkCheckpoint(spec, checkpoint)).toEqual({ unused: [] })
  })

  const bad: [what: string, change: Record<string, MadeTensor | null>, message: string][] = [
    [
      'a missing tensor',
      { 'model.layers.1.mlp.up_proj.weight': null },
      'model.layers.1.mlp.up_proj.weight is missing from the checkpoint. Is it complete, and for this config.json?.',
    ],
    [
      'a wrong shape',
      { 'model.norm.weight': zeros([9]) },
      'model.norm.weight has the shape [9], config.json asks for [8].',
    ],
    [
      'a wrong rank',
      { 'model.norm.weight': zeros([1, 8]) },
      'model.norm.weight has the shape [1,8], config.json asks for [8].',
    ],
    [
      'a type that is not computed with',
      { 'model.norm.weight': { dtype: 'F8_E4M3', shape: [8], bytes: new Uint8Array(8) } },
      'model.norm.weight has the type F8_E4M3, which is not computed with; use F32, F16, BF16.',
    ],
    [
      'a bias too many',
      { 'model.layers.0.self_attn.o_proj.bias': zeros([8]) },
      'model.layers.0.self_attn.o_proj.bias is in the checkpoint, but a qwen2 model',
    ],
    [
      'a norm too many',
      { 'model.layers.0.self_attn.q_norm.weight': zeros([4]) },
      'model.layers.0.self_attn.q_norm.weight is in the checkpoint',
    ],
    [
      'a scale beside a weight',
      { 'model.layers.0.mlp.up_proj.weight_scale': zeros([1]) },
      'model.layers.0.mlp.up_proj.weight_scale is in the checkpoint',
    ],
    ['a bias of the head', { 'lm_head.bias': zeros([5]) }, 'lm_head.bias is in the checkpoint'],
    ['a bias of the last norm', { 'model.norm.bias': zeros([8]) }, 'model.norm.bias is in the checkpoint'],
  ]
  it.each(bad)('refuses %s', async (_, change, message) => {
    const checkpoint = await checkpointWith(change)
    expect(() => checkCheckpoint(spec, checkpoint)).toThrow(message.replace('?.', '?'))
    expect(() => checkCheckpoint(spec, checkpoint)).toThrow(
      expect.objectContaining({ code: 'checkpoint_mismatch', param: Object.keys(change)[0] }),
    )
  })

  it('names what it leaves alone', async () => {
    const harmless = [
      'model.layers.0.self_attn.rotary_emb.inv_freq',
      'model.rotary_emb.inv_freq',
      'model.layers.2.mlp.up_proj.weight',
      'score.weight',
      'lm_head.weight',
    ]
    const checkpoint = await checkpointWith(Object.fromEntries(harmless.map((name) => [name, zeros([1])])))
    expect([...checkCheckpoint(spec, checkpoint).unused].sort()).toEqual(harmless.sort())
  })
})

describe('withActualHead', () => {
  const matrix = (last: number): MadeTensor => {
    const tensor = zeros([5, 8])
    tensor.bytes[79] = last
    return tensor
  }

  it('keeps a model tied without a head of its own, or with an equal one', async () => {
    expect(await withActualHead(spec, await checkpointWith())).toBe(spec)
    const equal = await checkpointWith({ 'model.embed_tokens.weight': matrix(3), 'lm_head.weight': matrix(3) })
    expect(await withActualHead(spec, equal)).toBe(spec)
  })

  it('unties it where the head differs, in values, type or shape', async () => {
    for (const head of [matrix(4), { ...matrix(3), dtype: 'BF16' }, zeros([5, 9])]) {
      const checkpoint = await checkpointWith({ 'model.embed_tokens.weight': matrix(3), 'lm_head.weight': head })
      expect(await withActualHead(spec, checkpoint)).toEqual({ ...spec, tiedEmbeddings: false })
    }
  })

  it('leaves an untied model as it is', async () => {
    const untied = { ...spec, tiedEmbeddings: false }
    expect(await withActualHead(untied, await checkpointWith({ 'lm_head.weight': matrix(1) }))).toBe(untied)
  })
})
