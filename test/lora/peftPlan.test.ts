/** What an adapter may do outside the projections (norms, the embedding, the output layer), and when it works. */
import { describe, expect, it } from 'vitest'
import { AdapterRefusedError } from '../../src/lora/errors.ts'
import type { NormalAdapter } from '../../src/lora/normal.ts'
import { readPeftAdapter } from '../../src/lora/peft.ts'
import type { ReadAdapterOptions } from '../../src/lora/readPlan.ts'
import type { ModelSpec } from '../../src/model/spec.ts'
import type { MadeTensor } from '../weights/makeSafetensors.ts'
import { adapterFolder, BOTH_Q, f32, loraTensors, Q_CONFIG, TINY } from './makeAdapter.ts'

const UNTIED: ModelSpec = { ...TINY, tiedEmbeddings: false }
const MODEL = 'base_model.model.model'
const HEAD = 'base_model.model.lm_head'
const VOCAB = TINY.vocabSize
const HIDDEN = TINY.hiddenSize

type Tensors = Readonly<Record<string, MadeTensor>>

async function read(
  config: object,
  tensors: Tensors,
  spec = UNTIED,
  options: ReadAdapterOptions = {},
): Promise<NormalAdapter> {
  const folder = adapterFolder({ ...Q_CONFIG, ...config }, { ...loraTensors(BOTH_Q), ...tensors })
  return (await readPeftAdapter(folder, spec, options)).adapter
}

async function refusal(...args: Parameters<typeof read>): Promise<AdapterRefusedError> {
  const outcome = await read(...args).catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(AdapterRefusedError)
  return outcome as AdapterRefusedError
}

const WITH_EMBED = { target_modules: ['q_proj', 'embed_tokens'] }
const EMBED_LORA: Tensors = {
  [`${MODEL}.embed_tokens.lora_embedding_A`]: f32([2, VOCAB]),
  [`${MODEL}.embed_tokens.lora_embedding_B`]: f32([HIDDEN, 2]),
}
const WITH_HEAD = { target_modules: ['q_proj', 'lm_head'] }
const HEAD_LORA: Tensors = {
  [`${HEAD}.lora_A.weight`]: f32([2, HIDDEN]),
  [`${HEAD}.lora_B.weight`]: f32([VOCAB, 2]),
}
const TOKENS = `${MODEL}.embed_tokens.token_adapter.trainable_tokens_delta`

describe('LoRA on the embedding and the output layer', () => {
  it('is read into places of its own', async () => {
    const embedding = await read(WITH_EMBED, EMBED_LORA)
    expect(embedding).toMatchObject({
      embedding: { lora: { rank: 2, scale: 2, a: { shape: [2, VOCAB] }, b: { shape: [HIDDEN, 2] } } },
      byteLength: 256 + (2 * VOCAB + 2 * HIDDEN) * 4,
    })
    expect(embedding).not.toHaveProperty('head')
    expect(embedding.modules).toHaveLength(2)
    const head = await read(WITH_HEAD, HEAD_LORA)
    expect(head).toMatchObject({ head: { lora: { rank: 2, a: { shape: [2, HIDDEN] }, b: { shape: [VOCAB, 2] } } } })
    expect(head.digest).not.toBe(embedding.digest)
  })

  it('has a magnitude for each column of the embedding, and for each token of the output layer', async () => {
    const config = { ...WITH_EMBED, target_modules: ['embed_tokens', 'lm_head'], use_dora: true }
    const tensors = {
      ...EMBED_LORA,
      ...HEAD_LORA,
      [`${MODEL}.embed_tokens.lora_magnitude_vector`]: f32([HIDDEN]),
      [`${HEAD}.lora_magnitude_vector`]: f32([VOCAB]),
    }
    const folder = adapterFolder({ ...Q_CONFIG, ...config }, tensors)
    const { adapter } = await readPeftAdapter(folder, UNTIED)
    expect(adapter).toMatchObject({
      modules: [],
      maxRank: 2,
      embedding: { lora: { magnitude: { shape: [HIDDEN] } } },
      head: { lora: { magnitude: { shape: [VOCAB] } } },
    })
  })

  it.each([
    [
      WITH_EMBED,
      { ...EMBED_LORA, [`${MODEL}.embed_tokens.lora_A.weight`]: f32([2, VOCAB]) },
      'adapter_tensor_unexpected',
    ],
    [WITH_EMBED, { [`${MODEL}.embed_tokens.lora_embedding_A`]: f32([2, VOCAB]) }, 'adapter_tensor_missing'],
    [
      WITH_EMBED,
      { ...EMBED_LORA, [`${MODEL}.embed_tokens.lora_embedding_B`]: f32([2, HIDDEN]) },
      'adapter_shape_mismatch',
    ],
    [{ ...WITH_EMBED, lora_bias: true }, EMBED_LORA, 'adapter_unsupported'],
    [WITH_HEAD, { [`${HEAD}.lora_embedding_A`]: f32([2, HIDDEN]) }, 'adapter_tensor_unexpected'],
    [WITH_HEAD, { ...HEAD_LORA, [`${HEAD}.base_layer.weight`]: f32([VOCAB + 4, HIDDEN]) }, 'adapter_shape_mismatch'],
    [{}, { [`${HEAD}.base_layer.weight`]: f32([VOCAB, HIDDEN]) }, 'adapter_tensor_unexpected'],
  ])('refuses %j with %o', async (config, tensors, code) => {
    expect((await refusal(config, tensors)).code).toBe(code)
  })

  it('needs a vocabulary that the kernels can take on the output layer', async () => {
    const odd = { ...UNTIED, vocabSize: VOCAB + 2 }
    const lora = { ...HEAD_LORA, [`${HEAD}.lora_B.weight`]: f32([VOCAB + 2, 2]) }
    expect(await refusal(WITH_HEAD, lora, odd)).toMatchObject({ code: 'adapter_unsupported', param: 'target_modules' })
  })

  it('does not tie what PEFT would tie on request', async () => {
    const config = { ...WITH_EMBED, ensure_weight_tying: true }
    expect((await refusal(config, EMBED_LORA, TINY)).param).toBe('ensure_weight_tying')
    await read(config, EMBED_LORA, UNTIED)
  })
})

describe('an embedding and an output layer that lie beside the adapter, named nowhere', () => {
  const EMBED = `${MODEL}.embed_tokens.weight`
  const embed = { [EMBED]: f32([VOCAB, HIDDEN]) }
  const head = { [`${HEAD}.weight`]: f32([VOCAB, HIDDEN], 2) }
  /** A base whose embedding counts from 1 and whose output layer from 2, as above. */
  const baseRows = async (module: string, first: number, count: number) =>
    Float32Array.from({ length: count * HIDDEN }, (_, i) => (module === 'head' ? 2 : 1) + first * HIDDEN + i)

  it("count where they are not the base's own", async () => {
    const plain = await read({}, {})
    const same = await read({}, { ...embed, ...head }, UNTIED, { baseRows })
    expect(same.digest).toBe(plain.digest)
    expect(same.byteLength).toBe(plain.byteLength)
    // Read again, when its bytes have to come back.
    expect((await read({}, { ...embed, ...head }, UNTIED, { baseRows, isKnown: true })).digest).toBe(plain.digest)
    const changed = { ...embed, [`${HEAD}.weight`]: f32([VOCAB, HIDDEN], 2.5) }
    const other = await read({}, changed, UNTIED, { baseRows })
    expect(other).toMatchObject({ head: { rows: { tokens: null, matrix: { shape: [VOCAB, HIDDEN] } } } })
    expect(other).not.toHaveProperty('embedding')
    const saved = await read({ modules_to_save: ['lm_head'] }, { [`${HEAD}.weight`]: changed[`${HEAD}.weight`]! })
    expect(other.digest).toBe(saved.digest)
  })

  it('count as they are where there is nothing to compare with', async () => {
    expect(await read({}, embed)).toMatchObject({ embedding: { rows: { tokens: null } } })
  })

  it('are one weight in a tied base: the last one that PEFT loads', async () => {
    const adapter = await read({}, { ...embed, ...head }, TINY)
    expect(adapter.embedding!.rows!.matrix).toBe(adapter.head!.rows!.matrix)
    const { bytes } = adapter.head!.rows!.matrix
    expect(new Float32Array(bytes.buffer, bytes.byteOffset)[0]).toBe(2)
  })

  it('are refused where the adapter does something else to them, or waits for its invocation', async () => {
    const error = await refusal(WITH_EMBED, { ...EMBED_LORA, ...head }, TINY)
    expect(error).toMatchObject({ code: 'adapter_tensor_unexpected', param: `${HEAD}.weight` })
    const invoked = { alora_invocation_tokens: [1] }
    await read(invoked, embed, UNTIED, { baseRows })
    const other = { [EMBED]: f32([VOCAB, HIDDEN], 3) }
    expect(await refusal(invoked, other, UNTIED, { baseRows })).toMatchObject({ code: 'adapter_changed_base' })
  })
})

describe('weights of the base that come along', () => {
  const values = Float32Array.from({ length: VOCAB * HIDDEN }, (_, i) => 1 + i)
  const tensors = { ...HEAD_LORA, [`${HEAD}.base_layer.weight`]: f32([VOCAB, HIDDEN]) }
  const asked: string[] = []
  const baseRows = async (module: string, first: number, count: number) => {
    asked.push(module)
    return values.subarray(first * HIDDEN, (first + count) * HIDDEN)
  }

  it('are compared with the base that is served', async () => {
    await read(WITH_HEAD, tensors, UNTIED, { baseRows })
    expect(asked).toEqual(['head'])
    const other = { ...tensors, [`${HEAD}.base_layer.weight`]: f32([VOCAB, HIDDEN], 1.5) }
    const error = await refusal(WITH_HEAD, other, UNTIED, { baseRows })
    expect(error).toMatchObject({ code: 'adapter_changed_base', param: `${HEAD}.base_layer.weight` })
    expect(error.message).toContain('[0, 0]')
  })

  it('may have been rounded to a narrower type', async () => {
    const bytes = new Uint8Array(
      Uint16Array.from(values, (value) => new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16).buffer,
    )
    const rounded = { ...tensors, [`${HEAD}.base_layer.weight`]: { dtype: 'BF16', shape: [VOCAB, HIDDEN], bytes } }
    await read(WITH_HEAD, rounded, UNTIED, { baseRows })
  })

  it('are taken on trust where there is nothing to compare with, and the notes say so', async () => {
    const folder = adapterFolder({ ...Q_CONFIG, ...WITH_HEAD }, { ...loraTensors(BOTH_Q), ...tensors })
    const { notes } = await readPeftAdapter(folder, UNTIED)
    expect(notes).toEqual([expect.stringContaining('not compared')])
    expect((await readPeftAdapter(folder, UNTIED, { baseRows })).notes).toEqual([])
  })
})

describe('modules_to_save', () => {
  const gain = f32([HIDDEN])
  const NORMS: Tensors = Object.fromEntries(
    ['layers.0.input_layernorm', 'layers.0.post_attention_layernorm', 'layers.1.input_layernorm']
      .concat(['layers.1.post_attention_layernorm', 'norm'])
      .map((path) => [`${MODEL}.${path}.weight`, gain]),
  )

  it('reaches every module whose path ends so, as in PEFT', async () => {
    const { norms } = await read({ modules_to_save: ['norm'] }, NORMS)
    expect(norms).toMatchObject([
      { layer: 0, norm: 'input', gain: { shape: [HIDDEN] } },
      { layer: 0, norm: 'post' },
      { layer: 1, norm: 'input' },
      { layer: 1, norm: 'post' },
      { layer: null, norm: 'final' },
    ])
  })

  it('reads norms of heads, and whole matrices', async () => {
    const heads = Object.fromEntries(
      [0, 1].map((layer) => [`${MODEL}.layers.${layer}.self_attn.q_norm.weight`, f32([TINY.headDim])]),
    )
    const { norms } = await read({ modules_to_save: ['q_norm'] }, heads, { ...UNTIED, qkNorm: true })
    expect(norms).toMatchObject([{ norm: 'q', gain: { shape: [TINY.headDim] } }, { layer: 1 }])
    const whole = {
      [`${MODEL}.embed_tokens.weight`]: f32([VOCAB, HIDDEN]),
      [`${HEAD}.weight`]: f32([VOCAB, HIDDEN], 9),
    }
    const { embedding, head } = await read({ modules_to_save: ['embed_tokens', 'lm_head'] }, whole, TINY)
    expect([embedding?.rows?.tokens, head?.rows?.tokens]).toEqual([null, null])
    expect(embedding?.rows?.matrix.bytes).not.toEqual(head?.rows?.matrix.bytes)
  })

  it.each([
    [['mlp'], {}, 'adapter_unsupported', 'modules_to_save'],
    [['k_proj'], {}, 'adapter_unsupported', 'modules_to_save'],
    [['lm_head'], {}, 'adapter_tensor_missing', `${HEAD}.weight`],
    [['lm_head'], { [`${HEAD}.weight`]: f32([HIDDEN, VOCAB]) }, 'adapter_shape_mismatch', `${HEAD}.weight`],
    [['post_attention_layernorm'], NORMS, 'adapter_tensor_unexpected', `${MODEL}.layers.0.input_layernorm.weight`],
  ])('%j is refused where it cannot be served', async (modules, tensors, code, param) => {
    expect(await refusal({ modules_to_save: modules }, tensors)).toMatchObject({ code, param })
  })

  it('of nothing in this base says nothing', async () => {
    const plain = await read({}, {})
    expect((await read({ modules_to_save: ['score'] }, {})).digest).toBe(plain.digest)
  })
})

describe('trainable_token_indices', () => {
  const rows = f32([3, HIDDEN])
  const row = (i: number) => Array.from({ length: HIDDEN }, (_, k) => 1 + i * HIDDEN + k)

  it('gives rows in ascending order of their tokens', async () => {
    const { embedding, head } = await read({ trainable_token_indices: [9, 2, 30] }, { [TOKENS]: rows })
    expect(embedding?.rows?.tokens).toEqual([2, 9, 30])
    const { bytes } = embedding!.rows!.matrix
    expect([...new Float32Array(bytes.buffer, bytes.byteOffset, 3 * HIDDEN)]).toEqual([...row(1), ...row(0), ...row(2)])
    expect(head).toBeUndefined()
  })

  it('changes both sides of a tied base, and one of another', async () => {
    const tied = await read({ trainable_token_indices: { embed_tokens: [1, 2, 3] } }, { [TOKENS]: rows }, TINY)
    expect(tied.head?.rows).toEqual(tied.embedding?.rows)
    expect(tied.byteLength).toBe(256 + rows.bytes.byteLength)
    const name = `${HEAD}.token_adapter.trainable_tokens_delta`
    const untied = await read({ trainable_token_indices: { lm_head: [1, 2, 3] } }, { [name]: rows })
    expect([untied.embedding, untied.head?.rows?.tokens]).toEqual([undefined, [1, 2, 3]])
    expect((await refusal({ trainable_token_indices: { lm_head: [1, 2, 3] } }, { [name]: rows }, TINY)).code).toBe(
      'adapter_unsupported',
    )
  })

  it.each([
    [[1, 2], 'adapter_shape_mismatch'],
    [[1, 2, VOCAB], 'adapter_config_invalid'],
    [[1, 2, -1], 'adapter_config_invalid'],
    [[1, 2, 2], 'adapter_config_invalid'],
  ])('%j is refused', async (indices, code) => {
    expect((await refusal({ trainable_token_indices: indices }, { [TOKENS]: rows })).code).toBe(code)
  })

  it('cannot be mixed with other changes of the same rows', async () => {
    const indices = { trainable_token_indices: [1, 2, 3] }
    const both = { ...indices, ...WITH_EMBED }
    expect((await refusal(both, { ...EMBED_LORA, [TOKENS]: rows })).param).toBe('trainable_token_indices')
    const whole = { ...indices, modules_to_save: ['embed_tokens'] }
    const tensors = { [TOKENS]: rows, [`${MODEL}.embed_tokens.weight`]: f32([VOCAB, HIDDEN]) }
    expect((await refusal(whole, tensors)).param).toBe('trainable_token_indices')
    const tied = { ...indices, ...WITH_HEAD }
    expect((await refusal(tied, { ...HEAD_LORA, [TOKENS]: rows }, TINY)).param).toBe('trainable_token_indices')
    await read(tied, { ...HEAD_LORA, [TOKENS]: rows }, UNTIED)
    expect((await refusal(indices, {})).code).toBe('adapter_tensor_missing')
  })
})

describe('alora_invocation_tokens', () => {
  it('are part of what the adapter is', async () => {
    const plain = await read({}, {})
    const invoked = await read({ alora_invocation_tokens: [3, 1] }, {})
    expect(invoked.invocation).toEqual([3, 1])
    const digests = [plain, invoked, await read({ alora_invocation_tokens: [1, 3] }, {})].map(({ digest }) => digest)
    expect(new Set(digests).size).toBe(3)
    expect((await read({ alora_invocation_tokens: [] }, {})).digest).toBe(plain.digest)
  })

  it.each([
    [{ use_dora: true }, 'use_dora'],
    [WITH_EMBED, 'target_modules'],
    [{ modules_to_save: ['lm_head'] }, 'modules_to_save'],
    [{ trainable_token_indices: [1] }, 'trainable_token_indices'],
    [{ bias: 'all' }, 'bias'],
  ])('cannot be used with %j, which PEFT would apply to every token', async (config, param) => {
    const error = await refusal({ alora_invocation_tokens: [1], ...config }, {})
    expect(error).toMatchObject({ code: 'adapter_unsupported', param })
  })

  it('are tokens of the base', async () => {
    const error = await refusal({ alora_invocation_tokens: [VOCAB] }, {})
    expect(error).toMatchObject({ code: 'adapter_config_invalid', param: 'alora_invocation_tokens' })
  })
})
