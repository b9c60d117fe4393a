import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { readGenerationDefaults } from '../../src/model/generationConfig.ts'
import { ConfigError } from '../../src/weights/config.ts'
import type { JsonObject } from '../../src/weights/json.ts'
import { reference } from '../fixtures.ts'

const nothing = {
  eosTokenIds: [],
  doSample: null,
  temperature: null,
  topK: null,
  topP: null,
  minP: null,
  repetitionPenalty: null,
  maxNewTokens: null,
}

describe('readGenerationDefaults', () => {
  it('says nothing where the files say nothing', () => {
    expect(readGenerationDefaults(null, {})).toEqual(nothing)
    expect(readGenerationDefaults({ temperature: null, eos_token_id: null }, { eos_token_id: null })).toEqual(nothing)
  })

  it('reads what a model suggests', () => {
    const qwen = {
      bos_token_id: 151643,
      pad_token_id: 151643,
      do_sample: true,
      eos_token_id: [151645, 151643],
      repetition_penalty: 1.1,
      temperature: 0.7,
      top_p: 0.8,
      top_k: 20,
      min_p: 0,
      max_new_tokens: 2048,
      transformers_version: '4.37.0',
    }
    expect(readGenerationDefaults(qwen, { eos_token_id: 1 })).toEqual({
      eosTokenIds: [151645, 151643],
      doSample: true,
      temperature: 0.7,
      topK: 20,
      topP: 0.8,
      minP: 0,
      repetitionPenalty: 1.1,
      maxNewTokens: 2048,
    })
  })

  it.each([
    ['one id', { eos_token_id: 2 }, {}, [2]],
    ['several', { eos_token_id: [2, 1, 2] }, { eos_token_id: 9 }, [2, 1]],
    ['the config where there is no file', null, { eos_token_id: 9 }, [9]],
    ['the config where the file is silent', {}, { eos_token_id: [9, 8] }, [9, 8]],
    ['none of the config where the file says none', { eos_token_id: [] }, { eos_token_id: 9 }, []],
  ])('ends at %s', (_, generation: JsonObject | null, config: JsonObject, ids) => {
    expect(readGenerationDefaults(generation, config).eosTokenIds).toEqual(ids)
  })

  it('takes -1 for "all"', () => {
    expect(readGenerationDefaults({ top_k: -1 }, {}).topK).toBe(0)
  })

  it.each([
    ['temperature', -0.1],
    ['temperature', '1'],
    ['top_k', 1.5],
    ['top_k', -2],
    ['top_p', 0],
    ['top_p', 1.1],
    ['min_p', -1],
    ['repetition_penalty', 0],
    ['do_sample', 'yes'],
    ['max_new_tokens', 0],
    ['eos_token_id', '2'],
    ['eos_token_id', [2, null]],
    ['eos_token_id', -1],
  ])('refuses %s %j', (field, value) => {
    expect(() => readGenerationDefaults({ [field]: value }, {})).toThrow(ConfigError)
    expect(() => readGenerationDefaults({ [field]: value }, {})).toThrow(`generation_config.json: ${field} must be`)
  })

  it('reads the reference models', () => {
    const files = (model: string) =>
      (['generation_config.json', 'config.json'] as const).map((file) =>
        JSON.parse(readFileSync(reference(`models/${model}/${file}`), 'utf8')),
      ) as [JsonObject, JsonObject]
    expect(readGenerationDefaults(...files('llama3-tiny'))).toEqual({
      ...nothing,
      eosTokenIds: [1, 6],
      doSample: false,
    })
    expect(readGenerationDefaults(...files('qwen3-tiny'))).toEqual({ ...nothing, eosTokenIds: [6], doSample: false })
  })
})
