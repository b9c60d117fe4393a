import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { LorikeetError } from '../../src/errors.ts'
import { readNemoAdapter } from '../../src/lora/nemo.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import { readAdapter } from '../../src/lora/readAdapter.ts'
import type { ModelSpec } from '../../src/model/spec.ts'
import { memoryFolder } from '../../src/weights/folder.ts'
import { bytesSource } from '../../src/weights/source.ts'
import { reference } from '../fixtures.ts'
import { makeTar } from '../weights/makeTar.ts'
import { makeTorch, text, torchTensor } from '../weights/makeTorch.ts'
import { TINY } from './makeAdapter.ts'
import { referenceFolder, referenceSpec } from './referenceAdapters.ts'

const CONFIG = 'peft:\n  peft_scheme: lora\n  lora_tuning:\n    adapter_dim: 2\n    alpha: 3\n'
const QKV = 'model.decoder.layers.0.self_attention.adapter_layer.lora_kqv_adapter.linear_'

interface Shapes {
  readonly [name: string]: readonly number[]
}

/** A `.nemo` file whose tensors count up from 0, each in a storage of its own. */
function nemo(tensors: Shapes, config: string | null = CONFIG, weights = 'model_weights.ckpt'): Uint8Array {
  const names = Object.keys(tensors)
  const storages = names.map((name) => {
    const count = tensors[name]!.reduce((product, size) => product * size, 1)
    return new Uint8Array(Float32Array.from({ length: count }, (_, i) => i).buffer)
  })
  const dict = names.map((name, i) => [name, torchTensor({ shape: tensors[name]!, storage: String(i) })] as const)
  const ckpt = makeTorch({ dict }, Object.fromEntries(storages.map((bytes, i) => [String(i), bytes])))
  const yaml = config === null ? [] : [{ name: './model_config.yaml', bytes: text(config) }]
  return makeTar([...yaml, { name: `./${weights}`, bytes: ckpt }])
}

async function read(bytes: Uint8Array, spec: ModelSpec = TINY) {
  return await readNemoAdapter(bytesSource('made.nemo', bytes), spec)
}

describe('readNemoAdapter', () => {
  it.each(['nemo-mcore', 'nemo-language-model'])('%s is the PEFT adapter it was made to equal', async (name) => {
    const spec = referenceSpec('llama-tiny')
    const file = bytesSource(name, readFileSync(reference(`adapters/llama-tiny/${name}.nemo`)))
    const found = await readNemoAdapter(file, spec)
    const { adapter } = await readPeftAdapter(referenceFolder(`adapters/llama-tiny/${name}-equal`), spec)
    expect(found.modules.length).toBe(adapter.modules.length)
    expect(found.digest).toBe(adapter.digest)
  })

  it('is the same compressed, which older versions of NeMo do', async () => {
    const bytes = nemo({ [`${QKV}in.weight`]: [2, 8], [`${QKV}out.weight`]: [16, 2] })
    const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream('gzip'))
    const packed = new Uint8Array(await new Response(stream).arrayBuffer())
    expect((await read(packed)).digest).toBe((await read(bytes)).digest)
    await expect(read(packed.subarray(0, 500))).rejects.toMatchObject({ code: 'gzip_invalid', status: 400 })
  })

  it.each([
    ['nemo-path-traversal.nemo', 'tar_invalid', '../../escape.txt'],
    ['nemo-ptuning.nemo', 'adapter_unsupported', 'peft.peft_scheme'],
  ])('%s is refused', async (name, code, param) => {
    const file = bytesSource(name, readFileSync(reference(`refused/${name}`)))
    await expect(readNemoAdapter(file, referenceSpec('llama-tiny'))).rejects.toMatchObject({ code, param, status: 400 })
  })

  it('gives each projection its rows of the fused matrices', async () => {
    // Two key/value heads of two query heads each: rows q0 q1 k0 v0 q2 q3 k1 v1, four a head, two columns a row.
    const grouped: ModelSpec = { ...TINY, hiddenSize: 16, numHeads: 4, numKvHeads: 2, headDim: 4 }
    const { modules } = await read(nemo({ [`${QKV}in.weight`]: [2, 16], [`${QKV}out.weight`]: [32, 2] }), grouped)
    const rows = modules.map(({ projection, b }) => {
      const values = new Float32Array(b.bytes.slice().buffer)
      return [projection, Array.from({ length: b.shape[0] }, (_, row) => values[2 * row]! / 2)]
    })
    const range = (start: number): number[] => [start, start + 1, start + 2, start + 3]
    expect(rows).toEqual([
      ['q', [0, 4, 16, 20].flatMap(range)],
      ['k', [8, 24].flatMap(range)],
      ['v', [12, 28].flatMap(range)],
    ])
    expect(modules.map(({ a }) => a.shape)).toEqual([
      [2, 16],
      [2, 16],
      [2, 16],
    ])
    expect(new Set(modules.map(({ a }) => a)).size).toBe(1)
    expect(modules.every(({ rank, scale }) => rank === 2 && scale === 1.5)).toBe(true)
  })

  it('reads unfused adapters, older names, and a missing alpha as 1', async () => {
    const layer = 'model.language_model.encoder.layers.1'
    const pair = (name: string, input: number, output: number): Shapes => ({
      [`${layer}.${name}.linear_in.weight`]: [2, input],
      [`${layer}.${name}.linear_out.weight`]: [output, 2],
    })
    const unfused = {
      ...pair('mlp.adapter_layer.lora_4htoh_adapter', 12, 8),
      ...pair('mlp.adapter_layer.lora_unfused_hto4h_adapter.up_adapter', 8, 12),
      ...pair('mlp.adapter_layer.lora_unfused_hto4h_adapter.gate_adapter', 8, 12),
      ...pair('self_attention.adapter_layer.lora_dense_attention_adapter', 8, 8),
      ...pair('self_attention.adapter_layer.lora_unfused_kqv_adapter.v_adapter', 8, 4),
      ...pair('self_attention.adapter_layer.lora_unfused_kqv_adapter.q_adapter', 8, 8),
    }
    const { modules } = await read(nemo(unfused, CONFIG.replace('alpha: 3', 'alpha: null')))
    expect(modules.map(({ layer, projection, scale }) => [layer, projection, scale])).toEqual([
      [1, 'q', 1],
      [1, 'v', 1],
      [1, 'o', 1],
      [1, 'gate', 1],
      [1, 'up', 1],
      [1, 'down', 1],
    ])
  })

  const good: Shapes = { [`${QKV}in.weight`]: [2, 8], [`${QKV}out.weight`]: [16, 2] }
  const q = QKV.replace('lora_kqv_adapter', 'lora_unfused_kqv_adapter.q_adapter')
  it.each<[string, Uint8Array, string, string]>([
    ['no config', nemo(good, null), 'adapter_config_missing', 'model_config.yaml'],
    ['a config that is no YAML', nemo(good, 'a: [1'), 'adapter_config_invalid', 'model_config.yaml'],
    ['a config that is a list', nemo(good, '- 1'), 'adapter_config_invalid', 'model_config.yaml'],
    ['no peft', nemo(good, 'hidden_size: 8'), 'adapter_config_invalid', 'peft'],
    [
      'no adapter_dim',
      nemo(good, CONFIG.replace('adapter_dim', 'dim')),
      'adapter_config_invalid',
      'peft.lora_tuning.adapter_dim',
    ],
    ['a bad alpha', nemo(good, CONFIG.replace('3', 'lots')), 'adapter_config_invalid', 'peft.lora_tuning.alpha'],
    [
      'tied weights',
      nemo(good, `${CONFIG}    weight_tying: true\n`),
      'adapter_unsupported',
      'peft.lora_tuning.weight_tying',
    ],
    ['another variant', nemo(good, `${CONFIG}    variant: new\n`), 'adapter_unsupported', 'peft.lora_tuning.variant'],
    [
      'tensor parallelism',
      nemo(good, `${CONFIG}tensor_model_parallel_size: 2\n`),
      'adapter_unsupported',
      'tensor_model_parallel_size',
    ],
    ['another hidden size', nemo(good, `${CONFIG}hidden_size: 64\n`), 'adapter_shape_mismatch', 'hidden_size'],
    [
      'as many keys as heads',
      nemo(good, `${CONFIG}num_attention_heads: 2\n`),
      'adapter_shape_mismatch',
      'num_query_groups',
    ],
    [
      'no weights',
      makeTar([{ name: 'model_config.yaml', bytes: text(CONFIG) }]),
      'adapter_weights_missing',
      'model_weights.ckpt',
    ],
    [
      'weights split over ranks',
      nemo(good, CONFIG, 'mp_rank_00/model_weights.ckpt'),
      'adapter_unsupported',
      'mp_rank_00/model_weights.ckpt',
    ],
    ['no tensors', nemo({}), 'adapter_weights_missing', 'model_weights.ckpt'],
    [
      'a strange tensor',
      nemo({ ...good, 'model.embedding.weight': [2] }),
      'adapter_tensor_unexpected',
      'model.embedding.weight',
    ],
    [
      'a layer too many',
      nemo({ [`${QKV.replace('.0.', '.2.')}in.weight`]: [2, 8] }),
      'adapter_tensor_unexpected',
      `${QKV.replace('.0.', '.2.')}in.weight`,
    ],
    ['no linear_out', nemo({ [`${QKV}in.weight`]: [2, 8] }), 'adapter_tensor_missing', `${QKV}out.weight`],
    ['no linear_in', nemo({ [`${QKV}out.weight`]: [16, 2] }), 'adapter_tensor_missing', `${QKV}in.weight`],
    [
      'another rank',
      nemo({ [`${QKV}in.weight`]: [3, 8], [`${QKV}out.weight`]: [16, 3] }),
      'adapter_rank_mismatch',
      `${QKV}in.weight`,
    ],
    [
      'another width',
      nemo({ [`${QKV}in.weight`]: [2, 8], [`${QKV}out.weight`]: [24, 2] }),
      'adapter_shape_mismatch',
      `${QKV}out.weight`,
    ],
    [
      'one layer twice',
      nemo({ ...good, [`${QKV.replace('decoder', 'module.decoder')}in.weight`]: [2, 8] }),
      'adapter_tensor_duplicate',
      `${QKV.replace('decoder', 'module.decoder')}in.weight`,
    ],
    [
      'one projection twice',
      nemo({ ...good, [`${q}in.weight`]: [2, 8], [`${q}out.weight`]: [8, 2] }),
      'adapter_tensor_duplicate',
      `${q}out.weight`,
    ],
  ])('refuses %s', async (_, bytes, code, param) => {
    const outcome = read(bytes)
    await expect(outcome).rejects.toThrow(LorikeetError)
    await expect(outcome).rejects.toMatchObject({ code, param, status: 400 })
  })
})

describe('readAdapter', () => {
  const spec = referenceSpec('llama-tiny')
  const file = readFileSync(reference('adapters/llama-tiny/nemo-language-model.nemo'))

  it('finds out what a folder holds', async () => {
    expect(await readAdapter(memoryFolder('made', { 'x.nemo': file }), spec)).toMatchObject({
      format: 'nemo',
      notes: [],
    })
    const peft = await readAdapter(referenceFolder('adapters/llama-tiny/nemo-language-model-equal'), spec)
    expect(peft.format).toBe('peft')
  })

  it('refuses what it cannot tell', async () => {
    const two = memoryFolder('made', { 'x.nemo': file, 'y.nemo': file })
    await expect(readAdapter(two, spec)).rejects.toMatchObject({ code: 'adapter_config_invalid', param: 'y.nemo' })
    await expect(readAdapter(memoryFolder('made', {}), spec)).rejects.toMatchObject({ code: 'adapter_config_missing' })
  })
})
