import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AdapterRefusedError } from '../../src/lora/errors.ts'
import { targetedModules } from '../../src/lora/modules.ts'
import { type PeftConfig, parsePeftConfig, rankAndScale } from '../../src/lora/peftConfig.ts'
import { DEFAULT_MATCH_STEPS } from '../../src/lora/pythonRegex.ts'
import type { JsonObject, JsonValue } from '../../src/weights/json.ts'
import { cpuMs } from '../support/cpuTime.ts'
import { TINY } from './makeAdapter.ts'
import { readReferenceJson } from './referenceAdapters.ts'

const budget = () => ({ steps: DEFAULT_MATCH_STEPS })

function config(fields: JsonObject = {}): PeftConfig {
  return parsePeftConfig({ peft_type: 'LORA', target_modules: ['q_proj'], ...fields })
}

function refusal(act: () => unknown): AdapterRefusedError {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(AdapterRefusedError)
    return error as AdapterRefusedError
  }
  throw new Error('nothing was refused')
}

/** `layer.projection` of the targeted modules; paths of those outside the layers. */
function targets(fields: JsonObject): string[] {
  return targetedModules(TINY, config(fields), budget()).map((module) =>
    module.kind === 'projection' ? `${module.layer}.${module.projection}` : module.path,
  )
}

describe('parsePeftConfig', () => {
  it("has PEFT's defaults", () => {
    const plain = parsePeftConfig({ peft_type: 'LORA' })
    expect(plain).toMatchObject({ r: 8, loraAlpha: 8, useRslora: false, bias: 'none', excludeModules: null })
    expect(plain.targetModules).toMatchObject({ kind: 'names', names: new Set(['q_proj', 'v_proj']) })
    expect(plain.notes).toEqual([expect.stringContaining('target_modules is not set')])
  })

  it.each<[JsonObject, string, string]>([
    [{ peft_type: 'ADALORA' }, 'adapter_unsupported', 'peft_type'],
    [{ peft_type: 7 }, 'adapter_config_invalid', 'peft_type'],
    [{ task_type: 'SEQ_CLS' }, 'adapter_unsupported', 'task_type'],
    [{ task_type: 'POETRY' }, 'adapter_config_invalid', 'task_type'],
    [{ r: 0 }, 'adapter_config_invalid', 'r'],
    [{ r: 2.5 }, 'adapter_config_invalid', 'r'],
    [{ r: '8' }, 'adapter_config_invalid', 'r'],
    [{ r: null }, 'adapter_config_invalid', 'r'],
    [{ r: true }, 'adapter_config_invalid', 'r'],
    [{ r: 1e300 }, 'adapter_config_invalid', 'r'],
    [{ lora_alpha: null }, 'adapter_config_invalid', 'lora_alpha'],
    [{ lora_alpha: '16' }, 'adapter_config_invalid', 'lora_alpha'],
    [{ lora_alpha: [16] }, 'adapter_config_invalid', 'lora_alpha'],
    [{ use_rslora: 'yes' }, 'adapter_config_invalid', 'use_rslora'],
    [{ use_rslora: 1 }, 'adapter_config_invalid', 'use_rslora'],
    [{ rank_pattern: [8] }, 'adapter_config_invalid', 'rank_pattern'],
    [{ rank_pattern: { q_proj: 0 } }, 'adapter_config_invalid', 'rank_pattern'],
    [{ rank_pattern: { q_proj: '4' } }, 'adapter_config_invalid', 'rank_pattern'],
    [{ rank_pattern: { '(': 4 } }, 'adapter_pattern_invalid', 'rank_pattern'],
    [{ alpha_pattern: { q_proj: null } }, 'adapter_config_invalid', 'alpha_pattern'],
    [{ alpha_pattern: { '(?i)Q': 4 } }, 'adapter_pattern_invalid', 'alpha_pattern'],
    [{ target_modules: 7 }, 'adapter_config_invalid', 'target_modules'],
    [{ target_modules: ['q_proj', 7] }, 'adapter_config_invalid', 'target_modules'],
    [{ target_modules: { q_proj: 1 } }, 'adapter_config_invalid', 'target_modules'],
    [{ target_modules: '(?!lm).*' }, 'adapter_pattern_invalid', 'target_modules'],
    [{ exclude_modules: '[' }, 'adapter_pattern_invalid', 'exclude_modules'],
    [{ exclude_modules: [null] }, 'adapter_config_invalid', 'exclude_modules'],
    [{ layers_to_transform: ['0'] }, 'adapter_config_invalid', 'layers_to_transform'],
    [{ layers_to_transform: 0.5 }, 'adapter_config_invalid', 'layers_to_transform'],
    [{ target_modules: '.*q_proj', layers_to_transform: [0] }, 'adapter_config_invalid', 'layers_to_transform'],
    [{ target_modules: 'all-linear', layers_pattern: 'layers' }, 'adapter_config_invalid', 'layers_pattern'],
    [{ layers_pattern: 'layers' }, 'adapter_config_invalid', 'layers_pattern'],
    [{ layers_to_transform: [0], layers_pattern: 'layers|h' }, 'adapter_unsupported', 'layers_pattern'],
    [{ bias: 'some' }, 'adapter_config_invalid', 'bias'],
    [{ bias: null }, 'adapter_config_invalid', 'bias'],
    [{ init_lora_weights: 'PiSSA' }, 'adapter_changed_base', 'init_lora_weights'],
    [{ init_lora_weights: 'pissa_niter_16' }, 'adapter_changed_base', 'init_lora_weights'],
    [{ init_lora_weights: 'lora_ga' }, 'adapter_changed_base', 'init_lora_weights'],
    [{ init_lora_weights: 'magic' }, 'adapter_config_invalid', 'init_lora_weights'],
    [{ init_lora_weights: 4 }, 'adapter_config_invalid', 'init_lora_weights'],
    [{ use_dora: 'no' }, 'adapter_config_invalid', 'use_dora'],
    [{ lora_bias: 1 }, 'adapter_config_invalid', 'lora_bias'],
    [{ lora_bias: true, use_dora: true }, 'adapter_config_invalid', 'lora_bias'],
    [{ use_qalora: true }, 'adapter_unsupported', 'use_qalora'],
    [{ modules_to_save: [''] }, 'adapter_config_invalid', 'modules_to_save'],
    [{ modules_to_save: 'lm_head' }, 'adapter_config_invalid', 'modules_to_save'],
    [{ trainable_token_indices: 1 }, 'adapter_config_invalid', 'trainable_token_indices'],
    [{ trainable_token_indices: [1.5] }, 'adapter_config_invalid', 'trainable_token_indices'],
    [{ trainable_token_indices: { embed_tokens: 'all' } }, 'adapter_config_invalid', 'trainable_token_indices'],
    [{ trainable_token_indices: { q_proj: [1] } }, 'adapter_unsupported', 'trainable_token_indices'],
    [{ ensure_weight_tying: 1 }, 'adapter_config_invalid', 'ensure_weight_tying'],
    [{ layer_replication: '0-1' }, 'adapter_config_invalid', 'layer_replication'],
    [{ layer_replication: [0, 1] }, 'adapter_config_invalid', 'layer_replication'],
    [{ layer_replication: [[0, 1, 2]] }, 'adapter_config_invalid', 'layer_replication'],
    [{ layer_replication: [[0, 0.5]] }, 'adapter_config_invalid', 'layer_replication'],
    [{ alora_invocation_tokens: 7 }, 'adapter_config_invalid', 'alora_invocation_tokens'],
    [{ alora_invocation_tokens: ['a'] }, 'adapter_config_invalid', 'alora_invocation_tokens'],
    [{ target_parameters: ['experts.w'] }, 'adapter_unsupported', 'target_parameters'],
    [{ use_bdlora: {} }, 'adapter_unsupported', 'use_bdlora'],
    [{ arrow_config: {} }, 'adapter_unsupported', 'arrow_config'],
    [{ velora_config: {} }, 'adapter_unsupported', 'velora_config'],
    [{ monteclora_config: {} }, 'adapter_unsupported', 'monteclora_config'],
    [{ megatron_config: {} }, 'adapter_unsupported', 'megatron_config'],
    [{ kasa_config: {} }, 'adapter_changed_base', 'kasa_config'],
    [{ kasa_config: 3 }, 'adapter_config_invalid', 'kasa_config'],
    [{ lora_dropout: 'none' }, 'adapter_config_invalid', 'lora_dropout'],
    [{ base_model_name_or_path: [] }, 'adapter_config_invalid', 'base_model_name_or_path'],
  ])('refuses %j', (fields, code, param) => {
    expect(refusal(() => config(fields))).toMatchObject({ code, param, status: 400 })
  })

  it("says a bad rank in vLLM's words", () => {
    expect(refusal(() => config({ r: -8 })).message).toBe('LoRA rank `r` must be a positive integer, got -8.')
  })

  it('takes switches that are off', () => {
    const off: JsonObject = {
      use_dora: null,
      lora_bias: false,
      modules_to_save: [],
      layer_replication: null,
      alora_invocation_tokens: [],
      target_parameters: [],
      trainable_token_indices: null,
      kasa_config: null,
      rank_pattern: null,
      layers_to_transform: [],
      exclude_modules: [],
    }
    expect(config(off)).toMatchObject({ notes: [], layersToTransform: null, excludeModules: null, rankPattern: [] })
  })

  it('notes what it ignores', () => {
    const { notes } = config({
      fan_in_fan_out: true,
      loftq_config: { loftq_bits: 4 },
      eva_config: null,
      whatever: 1,
      also: [],
    })
    expect(notes).toEqual([
      expect.stringContaining('fan_in_fan_out'),
      expect.stringContaining('loftq_config'),
      expect.stringContaining('"whatever", "also"'),
    ])
  })

  it('bounds the work that patterns can ask for', () => {
    const path = 'model.layers.0.self_attn.q_proj'
    const many = config({
      rank_pattern: Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`((a|b|.?)*)*${i}x`, 1])),
    })
    const start = cpuMs()
    expect(refusal(() => rankAndScale(many, path, { steps: 20_000 }))).toMatchObject({
      code: 'adapter_pattern_invalid',
      param: 'rank_pattern',
    })
    const heavy = `(${'(.?){500}'.repeat(20)})x`
    expect(refusal(() => targets({ target_modules: heavy }))).toMatchObject({ code: 'adapter_pattern_invalid' })
    expect(cpuMs() - start).toBeLessThan(3000)
  })

  it('throws nothing but refusals for mutated configs', () => {
    const whole = readReferenceJson('adapters/llama-tiny/patterns/adapter_config.json')
    const value = fc.oneof(
      { maxDepth: 2 },
      fc.constantFrom<JsonValue>(
        null,
        true,
        false,
        0,
        -1,
        8,
        1.5,
        1e300,
        '',
        'LORA',
        'pissa',
        'all-linear',
        '.*',
        '(',
        [],
        {},
      ),
      fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<JsonValue>,
    )
    const field = fc.oneof(fc.constantFrom(...Object.keys(whole)), fc.string({ maxLength: 8 }))
    fc.assert(
      fc.property(fc.array(fc.tuple(field, value), { minLength: 1, maxLength: 3 }), (changes) => {
        const mutated = Object.assign(Object.create(null), whole, Object.fromEntries(changes))
        try {
          const parsed = parsePeftConfig(mutated)
          for (const { path } of targetedModules(TINY, parsed, budget())) {
            const { rank, scale } = rankAndScale(parsed, path, budget())
            expect(Number.isInteger(rank) && rank > 0 && Number.isFinite(scale)).toBe(true)
          }
        } catch (error) {
          expect(error).toBeInstanceOf(AdapterRefusedError)
        }
      }),
      { numRuns: 2500, seed: 5 },
    )
  })
})

describe('rankAndScale', () => {
  const of = (fields: JsonObject, path = 'model.layers.1.mlp.up_proj') => rankAndScale(config(fields), path, budget())

  it('divides by the rank, or by its root', () => {
    expect(of({ r: 4, lora_alpha: 6 })).toMatchObject({ rank: 4, scale: 1.5 })
    expect(of({ r: 4, lora_alpha: 6, use_rslora: true })).toMatchObject({ rank: 4, scale: 3 })
    expect(of({ r: 8, lora_alpha: 13.5 }).scale).toBe(1.6875)
    expect(of({ r: 8, lora_alpha: 0 }).scale).toBe(0)
    expect(refusal(() => of({ r: 1, lora_alpha: 1e39 }))).toMatchObject({ param: 'lora_alpha' })
  })

  it.each<[JsonObject, number]>([
    [{ up_proj: 3 }, 3],
    [{ 'mlp.up_proj': 3 }, 3],
    [{ 'model.layers.1.mlp.up_proj': 3 }, 3],
    [{ '^model.layers.1.mlp.up_proj': 3 }, 3],
    [{ 'model\\.layers\\.\\d+\\.mlp\\..*': 3 }, 3],
    [{ 'layers.1': 3 }, 8],
    [{ p_proj: 3 }, 8],
    [{ mlp_up_proj: 3 }, 8],
    [{ 'mlp.up.proj': 3 }, 3],
    [{ up_proj: 3, '.*': 4 }, 3],
    [{ '.*': 4, up_proj: 3 }, 4],
    [{ 'gate_proj|up_proj': 3 }, 3],
  ])('takes the first key of %j that matches', (rank_pattern, rank) => {
    expect(of({ rank_pattern }).rank).toBe(rank)
  })
})

describe('targetedModules', () => {
  it.each<[JsonObject, string[]]>([
    [{ target_modules: ['q_proj'] }, ['0.q', '1.q']],
    [{ target_modules: ['self_attn.q_proj', 'model.layers.1.mlp.down_proj'] }, ['0.q', '1.q', '1.down']],
    [{ target_modules: ['layers.0.mlp.up_proj', 'nothing'] }, ['0.up']],
    [{ target_modules: '.*\\.1\\..*_proj' }, ['1.q', '1.k', '1.v', '1.o', '1.gate', '1.up', '1.down']],
    [
      {
        target_modules: 'ALL-linear',
        exclude_modules: ['layers.0.self_attn.q_proj', 'mlp.up_proj', 'o_proj', 'v_proj'],
      },
      ['0.k', '0.gate', '0.down', '1.q', '1.k', '1.gate', '1.down'],
    ],
    [{ target_modules: ['q_proj', 'k_proj'], exclude_modules: '.*0.*' }, ['1.q', '1.k']],
    [{ target_modules: ['q_proj'], layers_to_transform: [1] }, ['1.q']],
    [{ target_modules: ['q_proj'], layers_to_transform: 0 }, ['0.q']],
    [{ target_modules: ['q_proj'], layers_to_transform: [1, 9], layers_pattern: 'layers' }, ['1.q']],
    [{ target_modules: ['q_proj'], layers_to_transform: [1], layers_pattern: ['h', 'layers'] }, ['1.q']],
    // A whole path is not narrowed by layers_to_transform.
    [{ target_modules: ['model.layers.0.self_attn.k_proj', 'q_proj'], layers_to_transform: [1] }, ['0.k', '1.q']],
    // The embedding is taken away again, as a whole.
    [{ target_modules: ['q_proj', 'embed_tokens'], exclude_modules: ['embed_tokens'] }, ['0.q', '1.q']],
    [{ target_modules: ['q_proj', 'embed_tokens'] }, ['model.embed_tokens', '0.q', '1.q']],
    [{ target_modules: ['lm_head', 'q_proj'], layers_to_transform: [0] }, ['0.q', 'lm_head']],
    // What is saved whole is not adapted.
    [{ target_modules: ['q_proj', 'lm_head'], modules_to_save: ['lm_head'] }, ['0.q', '1.q']],
    // Found in no layer, so layers_to_transform leaves it out (but not lm_head above, whose name is its whole path).
    [{ target_modules: ['q_proj', 'embed_tokens'], layers_to_transform: [0] }, ['0.q']],
  ])('%j', (fields, expected) => {
    expect(targets(fields)).toEqual(expected)
  })

  it.each<[JsonObject, string, string]>([
    [{ target_modules: [] }, 'adapter_target_invalid', 'not found in the base model'],
    [{ target_modules: '' }, 'adapter_target_invalid', 'not found in the base model'],
    [{ target_modules: ['proj'] }, 'adapter_target_invalid', 'not found in the base model'],
    [{ target_modules: 'q_proj' }, 'adapter_target_invalid', 'not found in the base model'],
    [{ target_modules: ['q_proj'], layers_to_transform: [2] }, 'adapter_target_invalid', 'not found'],
    [
      { target_modules: ['q_proj'], layers_to_transform: [1], layers_pattern: 'h' },
      'adapter_target_invalid',
      'not found',
    ],
    [
      { target_modules: ['self_attn'] },
      'adapter_target_invalid',
      'model.layers.0.self_attn, which is not a linear layer',
    ],
    [{ target_modules: '.*self_attn.*' }, 'adapter_target_invalid', 'not a linear layer'],
    [{ target_modules: ['norm'] }, 'adapter_target_invalid', 'model.norm'],
  ])('refuses %j', (fields, code, says) => {
    const error = refusal(() => targets(fields))
    expect(error).toMatchObject({ code, param: 'target_modules' })
    expect(error.message).toContain(says)
  })
})
