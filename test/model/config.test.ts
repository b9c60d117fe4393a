import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { readModelSpec } from '../../src/model/config.ts'
import { UnsupportedModelError } from '../../src/model/errors.ts'
import { ConfigError, parseJsonObject } from '../../src/weights/config.ts'
import type { JsonValue } from '../../src/weights/json.ts'
import { reference } from '../fixtures.ts'

const fixture = (model: string) =>
  parseJsonObject('config.json', readFileSync(reference(`models/${model}/config.json`)))

/** The least that a config must say. */
const least = { hidden_size: 64, num_attention_heads: 4, vocab_size: 99, intermediate_size: 128, num_hidden_layers: 4 }
const spec = (model_type: string, more: Record<string, JsonValue> = {}) =>
  readModelSpec({ model_type, ...least, ...more })

const refusal = (model_type: string, more: Record<string, JsonValue>): unknown => {
  try {
    spec(model_type, more)
  } catch (error) {
    return error
  }
  return expect.fail('was accepted')
}

describe('readModelSpec', () => {
  const tiny = {
    vocabSize: 512,
    hiddenSize: 64,
    intermediateSize: 176,
    numLayers: 3,
    numHeads: 4,
    numKvHeads: 2,
    maxPositions: 512,
    normEps: 1e-5,
    bias: { qkv: false, o: false, mlp: false },
    qkNorm: false,
    slidingWindows: [null, null, null],
  }

  it('reads the reference models', () => {
    expect(readModelSpec(fixture('llama-tiny'))).toEqual({
      ...tiny,
      family: 'llama',
      headDim: 16,
      rotaryDim: 16,
      ropeTheta: 10000,
      ropeScaling: { type: 'default' },
      tiedEmbeddings: false,
    })
    expect(readModelSpec(fixture('llama3-tiny'))).toEqual({
      ...tiny,
      family: 'llama',
      headDim: 24,
      rotaryDim: 24,
      ropeTheta: 50000,
      ropeScaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 32 },
      tiedEmbeddings: true,
    })
    expect(readModelSpec(fixture('mistral-tiny'))).toEqual({
      ...tiny,
      family: 'mistral',
      headDim: 16,
      rotaryDim: 16,
      ropeTheta: 10000,
      ropeScaling: { type: 'default' },
      tiedEmbeddings: false,
      slidingWindows: [16, 16, 16],
    })
    expect(readModelSpec(fixture('qwen2-tiny'))).toEqual({
      ...tiny,
      family: 'qwen2',
      headDim: 16,
      rotaryDim: 16,
      normEps: 1e-6,
      ropeTheta: 1000000,
      ropeScaling: { type: 'default' },
      tiedEmbeddings: true,
      bias: { qkv: true, o: false, mlp: false },
    })
    expect(readModelSpec(fixture('qwen3-tiny'))).toEqual({
      ...tiny,
      family: 'qwen3',
      headDim: 32,
      rotaryDim: 32,
      normEps: 1e-6,
      ropeTheta: 1000000,
      ropeScaling: { type: 'default' },
      tiedEmbeddings: false,
      qkNorm: true,
    })
    expect(readModelSpec(fixture('llama-tiny-sharded'))).toEqual(readModelSpec(fixture('llama-tiny')))
  })

  it('takes the defaults of each family where the config is silent', () => {
    const shared = { normEps: 1e-6, ropeTheta: 10000, ropeScaling: { type: 'default' }, tiedEmbeddings: false }
    expect(spec('llama')).toMatchObject({ ...shared, maxPositions: 2048, numKvHeads: 4, headDim: 16 })
    expect(spec('mistral', { num_attention_heads: 16 })).toMatchObject({
      ...shared,
      maxPositions: 131072,
      numKvHeads: 8,
      headDim: 4,
    })
    expect(spec('qwen2', { num_key_value_heads: 2 })).toMatchObject({ ...shared, maxPositions: 32768, headDim: 16 })
    expect(spec('qwen3', { num_key_value_heads: 2 })).toMatchObject({ ...shared, maxPositions: 32768, headDim: 128 })
    expect(spec('phi3')).toMatchObject({ ...shared, normEps: 1e-5, maxPositions: 4096, numKvHeads: 4, headDim: 16 })
    expect(spec('phi3').slidingWindows).toEqual([null, null, null, null])
  })

  it.each(['llama', 'mistral', 'qwen2', 'qwen3', 'phi3'])(
    'takes null key/value heads of %s for one per query head',
    (family) => {
      expect(spec(family, { num_key_value_heads: null }).numKvHeads).toBe(4)
    },
  )

  it('reads biases as each family has them', () => {
    const both = { attention_bias: true, mlp_bias: true, num_key_value_heads: 4 }
    expect(spec('llama', both).bias).toEqual({ qkv: true, o: true, mlp: true })
    expect(spec('mistral', both).bias).toEqual({ qkv: false, o: false, mlp: false })
    expect(spec('qwen2', both).bias).toEqual({ qkv: true, o: false, mlp: false })
    expect(spec('phi3', both).bias).toEqual({ qkv: false, o: false, mlp: false })
    expect(spec('qwen3', both).bias).toEqual({ qkv: true, o: true, mlp: false })
  })

  describe('rope', () => {
    const llama3 = { factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 }

    it('reads the older and the newer spelling alike', () => {
      const older = spec('llama', { rope_theta: 5e5, rope_scaling: { rope_type: 'llama3', ...llama3 } })
      const newer = spec('llama', { rope_parameters: { rope_theta: 5e5, rope_type: 'llama3', ...llama3 } })
      expect(newer).toEqual(older)
      expect(older).toMatchObject({
        ropeTheta: 5e5,
        ropeScaling: { type: 'llama3', factor: 32, originalMaxPositions: 8192 },
      })
      const linear = { type: 'linear', factor: 2.5 }
      expect(spec('llama', { rope_scaling: linear }).ropeScaling).toEqual(linear)
    })

    it('prefers rope_type to type, and rope_scaling to rope_parameters', () => {
      expect(spec('llama', { rope_scaling: { type: 'dynamic', rope_type: 'default' } }).ropeScaling.type).toBe(
        'default',
      )
      const both = { rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: { rope_type: 'linear', factor: 3 } }
      expect(spec('llama', both).ropeScaling).toEqual({ type: 'linear', factor: 2 })
    })

    it('takes an empty or null rope_scaling for none', () => {
      expect(spec('llama', { rope_scaling: {}, rope_theta: 7 })).toMatchObject({
        ropeTheta: 7,
        ropeScaling: { type: 'default' },
      })
      const parameters = { rope_theta: 9, rope_type: 'linear', factor: 2 }
      expect(spec('llama', { rope_scaling: null, rope_parameters: parameters })).toMatchObject({
        ropeTheta: 9,
        ropeScaling: { factor: 2 },
      })
    })

    it('knows where the original length of llama3 may stand', () => {
      const { original_max_position_embeddings: _, ...without } = llama3
      const original = (more: Record<string, JsonValue>) => {
        const { ropeScaling } = spec('llama', { max_position_embeddings: 100, ...more })
        return ropeScaling.type === 'llama3' ? ropeScaling.originalMaxPositions : null
      }
      expect(original({ rope_scaling: { type: 'llama3', ...without } })).toBe(100)
      expect(original({ rope_scaling: { type: 'llama3', ...llama3 } })).toBe(8192)
      expect(original({ rope_scaling: { type: 'llama3', ...llama3 }, original_max_position_embeddings: 64 })).toBe(64)
    })

    it.each(['yarn', 'dynamic', 'longrope', 'su', 'mrope', 'proportional'])('refuses %s', (type) => {
      expect(refusal('llama', { rope_scaling: { type, factor: 2 } })).toMatchObject({
        param: 'rope_scaling.type',
        value: type,
        message: `config.json: rope_scaling.type "${type}" is not supported. Supported: default, linear, llama3.`,
      })
      expect(
        refusal('qwen3', { num_key_value_heads: 4, rope_parameters: { rope_type: type, factor: 2 } }),
      ).toMatchObject({
        param: 'rope_parameters.rope_type',
      })
    })

    it('reads LongRoPE of phi3 within the context that it was first trained with', () => {
      const long = { short_factor: [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7], long_factor: [], rope_theta: 7 }
      const config = { max_position_embeddings: 65536, original_max_position_embeddings: 512 }
      for (const type of ['longrope', 'su', 'yarn']) {
        expect(spec('phi3', { ...config, rope_scaling: { type, ...long } })).toMatchObject({
          maxPositions: 512,
          ropeTheta: 7,
          ropeScaling: { type: 'longrope', factors: long.short_factor, attentionFactor: Math.sqrt(1 + 7 / 9) },
        })
      }
      const { ropeScaling, maxPositions } = spec('phi3', { rope_scaling: { type: 'longrope', ...long } })
      expect({ ropeScaling, maxPositions }).toMatchObject({ ropeScaling: { attentionFactor: 1 }, maxPositions: 4096 })
      expect(() => spec('phi3', { rope_scaling: { type: 'longrope', short_factor: [1, 2] } })).toThrow('8 numbers')
      expect(refusal('phi3', { rope_scaling: { type: 'linear', factor: 2 } })).toMatchObject({
        message: 'config.json: rope_scaling.type "linear" is not supported. Supported: default, longrope.',
      })
    })

    it('turns part of a head of phi3, and of no other family', () => {
      expect(spec('phi3', { partial_rotary_factor: 0.5 }).rotaryDim).toBe(8)
      const params = { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } }
      expect(spec('phi3', params).rotaryDim).toBe(8)
      expect(spec('phi3', { rope_scaling: null }).rotaryDim).toBe(16)
      for (const factor of [0.3, 0, 1.5]) {
        expect(refusal('phi3', { partial_rotary_factor: factor })).toMatchObject({ param: 'partial_rotary_factor' })
      }
      expect(refusal('llama', params)).toMatchObject({ param: 'rope_parameters.partial_rotary_factor' })
    })

    it('refuses parameters that change the angles', () => {
      for (const [field, value] of [
        ['partial_rotary_factor', 0.5],
        ['mrope_section', [8, 8]],
        ['llama_4_scaling_beta', 0.1],
        ['full_attention', {}],
      ] as const) {
        const error = refusal('qwen2', {
          num_key_value_heads: 4,
          rope_parameters: { rope_type: 'default', [field]: value },
        })
        expect(error).toBeInstanceOf(UnsupportedModelError)
        expect(error).toMatchObject({ param: `rope_parameters.${field}` })
      }
    })

    it('names what is wrong inside', () => {
      const scaling = (more: Record<string, JsonValue>) =>
        refusal('llama', { rope_scaling: { type: 'llama3', ...llama3, ...more } })
      expect(scaling({ factor: '8' })).toMatchObject({
        message: 'config.json: rope_scaling.factor must be a number above 0, not "8".',
      })
      expect(scaling({ low_freq_factor: 4 })).toMatchObject({ param: 'rope_scaling.high_freq_factor' })
      expect(refusal('llama', { rope_scaling: { type: 'linear' } })).toMatchObject({
        message: 'config.json: rope_scaling.factor is missing: it must be a number above 0.',
      })
      expect(refusal('llama', { rope_scaling: 'linear' })).toBeInstanceOf(ConfigError)
    })
  })

  describe('sliding windows', () => {
    const qwen = { use_sliding_window: true, sliding_window: 8, max_window_layers: 2, num_key_value_heads: 4 }
    const windows = (family: string, more: Record<string, JsonValue>) => spec(family, more).slidingWindows

    it('are on every layer of mistral, the default one where the field is missing, none where it is null', () => {
      const kv = { num_key_value_heads: 4 }
      expect(windows('mistral', { ...kv, sliding_window: 8 })).toEqual([8, 8, 8, 8])
      expect(windows('mistral', kv)).toEqual([4096, 4096, 4096, 4096])
      expect(windows('mistral', { ...kv, sliding_window: null })).toEqual([null, null, null, null])
    })

    it('do not exist in llama', () => {
      expect(windows('llama', { sliding_window: 8 })).toEqual([null, null, null, null])
    })

    it.each(['qwen2', 'qwen3'])('are on the last layers of %s, if it says so', (family) => {
      expect(windows(family, qwen)).toEqual([null, null, 8, 8])
      expect(windows(family, { ...qwen, max_window_layers: 0 })).toEqual([8, 8, 8, 8])
      expect(windows(family, { ...qwen, use_sliding_window: false })).toEqual([null, null, null, null])
      expect(windows(family, { ...qwen, sliding_window: null })).toEqual([null, null, null, null])
      const { max_window_layers: _, ...unsaid } = qwen
      expect(windows(family, unsaid)).toEqual([null, null, null, null])
    })

    it.each(['qwen2', 'qwen3'])('follow the layer types of %s where it has them', (family) => {
      const layer_types = ['sliding_attention', 'full_attention', 'attention', 'sliding_attention']
      expect(windows(family, { ...qwen, layer_types })).toEqual([8, null, null, 8])
      expect(refusal(family, { ...qwen, use_sliding_window: false, layer_types })).toMatchObject({
        param: 'layer_types',
      })
      expect(refusal(family, { ...qwen, layer_types: ['full_attention'] })).toMatchObject({
        message: 'config.json: layer_types has 1 entries for 4 layers.',
      })
      expect(refusal(family, { ...qwen, layer_types: ['conv', 'conv', 'conv', 'conv'] })).toBeInstanceOf(
        UnsupportedModelError,
      )
    })

    it('refuses layer types that llama and mistral would ignore', () => {
      const layer_types = ['full_attention', 'sliding_attention', 'full_attention', 'sliding_attention']
      expect(refusal('mistral', { sliding_window: 8, num_key_value_heads: 4, layer_types })).toMatchObject({
        param: 'layer_types',
        value: 'full_attention',
      })
      expect(refusal('llama', { layer_types })).toMatchObject({ param: 'layer_types', value: 'sliding_attention' })
      expect(windows('llama', { layer_types: new Array(4).fill('full_attention') })).toEqual([null, null, null, null])
    })

    it('must be at least one position long', () => {
      expect(refusal('mistral', { sliding_window: 0, num_key_value_heads: 4 })).toMatchObject({
        param: 'sliding_window',
      })
    })
  })

  describe('other maths', () => {
    const changed: [field: string, value: JsonValue][] = [
      ['model_type', 'granite'],
      ['architectures', ['LlamaForSequenceClassification']],
      ['hidden_act', 'gelu'],
      ['partial_rotary_factor', 0.5],
      ['quantization_config', { quant_method: 'awq' }],
      ['attention_multiplier', 0.5],
      ['residual_multiplier', 0.22],
      ['embedding_multiplier', 12],
      ['logits_scaling', 8],
      ['rope_interleaved', true],
      ['attn_logit_softcapping', 50],
      ['final_logit_softcapping', 30],
      ['query_pre_attn_scalar', 256],
      ['use_qk_norm', true],
      ['num_experts', 8],
      ['is_causal', false],
      ['per_layer_config', { '0': { num_attention_heads: 2 } }],
      ['no_rope_layers', [1, 1, 1, 0]],
      ['hidden_size', 70],
      ['intermediate_size', 127],
      ['head_dim', 6],
    ]
    it.each(changed)('refuses %s %j, naming both', (field, value) => {
      const error = refusal('llama', { head_dim: 16, [field]: value }) as UnsupportedModelError
      expect(error).toBeInstanceOf(UnsupportedModelError)
      expect(error).toMatchObject({ code: 'unsupported_model', status: 400, param: field, file: 'config.json' })
      expect(error.message).toContain(`config.json: ${field} `)
    })

    it('passes over fields that say nothing, and fields that change nothing', () => {
      const harmless = {
        architectures: ['LlamaForCausalLM'],
        attention_dropout: 0.1,
        pretraining_tp: 8,
        rope_interleaved: false,
        is_llama_config: true,
        quantization_config: null,
        partial_rotary_factor: 1.0,
        attention_multiplier: 0.25,
        residual_multiplier: 1,
        hidden_act: 'silu',
        pruned_heads: {},
        no_rope_layers: [1, 1, 1, 1],
        num_experts: 0,
        final_logit_softcapping: null,
        torch_dtype: 'bfloat16',
        'transformers.js_config': { dtype: 'q4' },
        use_cache: false,
        is_causal: true,
        per_layer_config: {},
        block_configs: [],
      }
      expect(spec('llama', harmless)).toEqual(spec('llama'))
    })

    it('knows a list of what is supported', () => {
      expect(refusal('gpt2', {})).toMatchObject({
        message: 'config.json: model_type "gpt2" is not supported. Supported: llama, mistral, qwen2, qwen3, phi3.',
      })
      expect(refusal('toString', {})).toBeInstanceOf(UnsupportedModelError)
    })
  })

  describe('a broken config', () => {
    it.each([null, 3, 'text', [], undefined])('is no %j', (config) => {
      expect(() => readModelSpec(config, 'x.json')).toThrow(new ConfigError('x.json', null, 'must be a JSON object'))
    })

    it.each(['model_type', ...Object.keys(least)])('lacks %s', (field) => {
      const { [field]: _, ...rest } = { model_type: 'llama', ...least } as Record<string, JsonValue>
      expect(() => readModelSpec(rest)).toThrow(`config.json: ${field} is missing`)
    })

    const wrong: [field: string, value: JsonValue][] = [
      ['hidden_size', '64'],
      ['hidden_size', 0],
      ['hidden_size', 64.5],
      ['vocab_size', -1],
      ['vocab_size', 2 ** 40],
      ['num_hidden_layers', 1e6],
      ['num_attention_heads', 0],
      ['num_key_value_heads', 3],
      ['head_dim', '8'],
      ['rms_norm_eps', 0],
      ['rms_norm_eps', 'small'],
      ['rope_theta', -1],
      ['tie_word_embeddings', 'true'],
      ['attention_bias', 1],
      ['architectures', 'LlamaForCausalLM'],
    ]
    it.each(wrong)('has %s %j', (field, value) => {
      const error = refusal('llama', { [field]: value })
      expect(error).toBeInstanceOf(ConfigError)
      expect(error).toMatchObject({ param: field, code: 'config_invalid' })
    })

    it('has heads that do not divide the hidden size', () => {
      expect(refusal('llama', { num_attention_heads: 5, num_key_value_heads: 5 })).toMatchObject({
        param: 'num_attention_heads',
      })
    })
  })

  it('reads published models', () => {
    const rope = {
      factor: 32.0,
      high_freq_factor: 4.0,
      low_freq_factor: 1.0,
      original_max_position_embeddings: 8192,
      rope_type: 'llama3',
    }
    const llama32 = {
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      head_dim: 64,
      hidden_size: 2048,
      intermediate_size: 8192,
      max_position_embeddings: 131072,
      num_attention_heads: 32,
      num_hidden_layers: 16,
      num_key_value_heads: 8,
      pretraining_tp: 1,
      rms_norm_eps: 1e-5,
      rope_scaling: rope,
      rope_theta: 500000.0,
      tie_word_embeddings: true,
      vocab_size: 128256,
      bos_token_id: 128000,
      eos_token_id: [128001, 128008, 128009],
    }
    expect(readModelSpec(llama32)).toMatchObject({
      family: 'llama',
      headDim: 64,
      tiedEmbeddings: true,
      ropeScaling: { type: 'llama3', factor: 32 },
    })
    const qwen25 = {
      architectures: ['Qwen2ForCausalLM'],
      model_type: 'qwen2',
      hidden_act: 'silu',
      hidden_size: 896,
      intermediate_size: 4864,
      max_position_embeddings: 32768,
      max_window_layers: 21,
      num_attention_heads: 14,
      num_hidden_layers: 24,
      num_key_value_heads: 2,
      rms_norm_eps: 1e-6,
      rope_theta: 1000000.0,
      sliding_window: 32768,
      tie_word_embeddings: true,
      torch_dtype: 'bfloat16',
      use_sliding_window: false,
      vocab_size: 151936,
    }
    expect(readModelSpec(qwen25)).toMatchObject({
      family: 'qwen2',
      headDim: 64,
      slidingWindows: new Array(24).fill(null),
    })
    const mistral = {
      architectures: ['MistralForCausalLM'],
      model_type: 'mistral',
      hidden_act: 'silu',
      hidden_size: 4096,
      intermediate_size: 14336,
      max_position_embeddings: 32768,
      num_attention_heads: 32,
      num_hidden_layers: 32,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      rope_theta: 10000.0,
      sliding_window: 4096,
      tie_word_embeddings: false,
      vocab_size: 32000,
    }
    expect(readModelSpec(mistral)).toMatchObject({
      family: 'mistral',
      headDim: 128,
      slidingWindows: new Array(32).fill(4096),
    })
  })
})
