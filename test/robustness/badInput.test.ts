/**
 * Bad input at every boundary: each is a clear error that names the thing, leaves nothing on the GPU, and leaves a running
 * server serving.
 */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Runtime } from '../../src/engine/runtime.ts'
import { LorikeetError } from '../../src/errors.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import { openGpu } from '../../src/gpu/open.node.ts'
import { directoryFolder } from '../../src/hosts/node/files.ts'
import { Lorikeet } from '../../src/lorikeet.ts'
import { type Folder, memoryFolder } from '../../src/weights/folder.ts'
import { reference } from '../fixtures.ts'

const MIB = 1024 * 1024
const SIZES = { kvCacheMemory: 2 * MIB, loraMemory: 4 * MIB, maxNumBatchedTokens: 64 }

async function failure(promise: Promise<unknown>): Promise<LorikeetError> {
  const error = await promise.then(
    () => null,
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(LorikeetError)
  return error
}

describe('a model that cannot be opened', () => {
  let gpu: Gpu
  beforeAll(async () => {
    gpu = await openGpu()
  })
  afterAll(() => gpu.close())

  const config = JSON.parse(readFileSync(reference('models/llama-tiny/config.json'), 'utf8'))
  const weights = new Uint8Array(readFileSync(reference('models/llama-tiny/model.safetensors')))
  const folder = (changes: object, model: Uint8Array = weights): Folder =>
    memoryFolder('a-model', { 'config.json': JSON.stringify({ ...config, ...changes }), 'model.safetensors': model })
  /** The same file with one word of its header changed to another of the same length. */
  const lying = (from: string, to: string): Uint8Array => {
    const text = Buffer.from(weights).toString('latin1')
    expect(text).toContain(from)
    return new Uint8Array(Buffer.from(text.replace(from, to), 'latin1'))
  }
  const firstShape = /"lm_head.weight":\{"dtype":"F32","shape":\[512,64\]/.exec(
    Buffer.from(weights).toString('latin1'),
  )![0]

  it.each<[string, () => Folder, string, RegExp]>([
    [
      'a folder that is not there',
      () => directoryFolder(reference('models/none')),
      reference('models/none'),
      /models\/none does not exist\. Looked for config\.json/,
    ],
    [
      'a config that is cut off',
      () => memoryFolder('m', { 'config.json': '{"model_type": "lla' }),
      'config.json',
      /config\.json.*line 1/s,
    ],
    [
      'no weights',
      () => memoryFolder('m', { 'config.json': JSON.stringify(config) }),
      'model.safetensors',
      /has neither model\.safetensors nor/,
    ],
    [
      'a truncated file',
      () => folder({}, weights.subarray(0, weights.length - 100)),
      'model.norm.weight',
      /a-model\/model\.safetensors is not a valid safetensors file/,
    ],
    [
      'a header that lies about a type',
      () => folder({}, lying(firstShape, firstShape.replace('F32', 'F16'))),
      'lm_head.weight',
      /lm_head\.weight/,
    ],
    [
      'a header that lies about a shape',
      () => folder({}, lying('[512,64]', '[912,64]')),
      'lm_head.weight',
      /lm_head\.weight/,
    ],
    [
      'a wrong shape for the config',
      () => folder({ intermediate_size: 180 }),
      'model.layers.0.mlp.gate_proj.weight',
      /has the shape \[176,64\], config\.json asks for \[180,64\]/,
    ],
    [
      'a missing tensor',
      () => folder({ num_hidden_layers: 4 }),
      'model.layers.3.input_layernorm.weight',
      /is missing from the checkpoint/,
    ],
    [
      'an unknown architecture',
      () => folder({ model_type: 'mamba', architectures: ['MambaForCausalLM'] }),
      'model_type',
      /mamba/,
    ],
    ['maths that is not computed', () => folder({ hidden_act: 'gelu' }), 'hidden_act', /gelu/],
    [
      'a config value of a wrong type',
      () => folder({ num_attention_heads: 'four' }),
      'num_attention_heads',
      /num_attention_heads/,
    ],
  ])('%s', async (_what, make, param, message) => {
    const before = gpu.ledger.bytes
    const error = await failure(Runtime.open(gpu, make(), { sizes: SIZES }))
    expect(error.message).toMatch(message)
    expect(error.param).toBe(param)
    expect(gpu.ledger.bytes).toBe(before)
  })

  it('sizes that cannot be', async () => {
    const open = (sizes: object) => failure(Runtime.open(gpu, folder({}), { sizes: { ...SIZES, ...sizes } }))
    expect(await open({ maxModelLen: 4096 })).toMatchObject({
      param: 'maxModelLen',
      message: expect.stringContaining('512'),
    })
    expect(await open({ kvCacheMemory: 1000 })).toMatchObject({ param: 'kvCacheMemory' })
    expect(await open({ maxNumSeqs: 65 })).toMatchObject({ param: 'maxNumBatchedTokens' })
    expect(await open({ maxNumSeqs: 1.5 })).toMatchObject({ param: 'maxNumSeqs' })
    expect(gpu.ledger.bytes).toBe(0)
  })

  it('loading that is aborted in the middle', async () => {
    const controller = new AbortController()
    const loading = Runtime.open(gpu, folder({}), {
      sizes: SIZES,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    })
    await expect(loading).rejects.toThrow('enough')
    expect(gpu.ledger.bytes).toBe(0)
  })
})

describe('a running server', () => {
  let bird: Lorikeet
  beforeAll(async () => {
    bird = await Lorikeet.open({
      model: reference('models/llama-tiny'),
      adapters: [{ name: 'voice', source: reference('adapters/llama-tiny/r5') }],
      sizes: SIZES,
    })
  })
  afterAll(async () => {
    await bird.close()
    expect(bird.runtime.gpu.ledger.bytes).toBe(0)
  })

  const post = (body: unknown) =>
    bird.fetch('http://lorikeet/v1/completions', {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  const stillServes = async () => {
    for (const model of ['llama-tiny', 'voice']) {
      const response = await post({ model, prompt: [1, 2, 3], max_tokens: 2, temperature: 0, ignore_eos: true })
      expect(response.status).toBe(200)
      expect((await response.json()).usage.completion_tokens).toBe(2)
    }
  }

  it.each([
    ['malformed JSON', '{"prompt": "a",', 400, null, /position|line|column/],
    ['a wrong type', { prompt: 'a', max_tokens: 'many' }, 400, 'max_tokens', /max_tokens/],
    ['a value out of range', { prompt: 'a', temperature: -1 }, 400, 'temperature', /temperature/],
    ['an unknown model', { model: 'nobody', prompt: 'a' }, 404, 'model', /The model `nobody` does not exist\./],
    ['a prompt that does not fit', { prompt: Array(600).fill(5) }, 400, 'prompt', /512/],
    ['a token beyond the vocabulary', { prompt: [99999] }, 400, 'prompt', /99999|vocabulary/],
  ])('refuses %s and goes on', async (_what, body, status, param, message) => {
    const before = bird.runtime.gpu.ledger.bytes
    const response = await post(body)
    const { error } = await response.json()
    expect(response.status).toBe(status)
    expect(error.message).toMatch(message)
    if (param) expect(error.param).toBe(param)
    await stillServes()
    expect(bird.runtime.gpu.ledger.bytes).toBe(before)
  })

  it.each([
    ['an adapter for another base', reference('refused/other-base'), /made for another base|shape/],
    ['a folder that is not there', reference('adapters/llama-tiny/none'), /llama-tiny\/none does not exist/],
    ['a truncated adapter', reference('refused/truncated'), /safetensors/],
    ['an adapter with NaN', reference('refused/nan'), /NaN/],
  ])('refuses %s and goes on', async (_what, source, message) => {
    const before = bird.runtime.gpu.ledger.bytes
    const error = await failure(bird.adapters.load('bad', source))
    expect(error.message).toMatch(message)
    expect(error.status).toBe(400)
    expect(bird.adapters.list().map(({ name }) => name)).toEqual(['voice'])
    await stillServes()
    expect(bird.runtime.gpu.ledger.bytes).toBe(before)
  })
})
