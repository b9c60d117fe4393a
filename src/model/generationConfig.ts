/** How a model's makers want it sampled: `generation_config.json`, as far as a request leaves it open. */
import { ConfigFields } from '../weights/config.ts'
import type { JsonObject, JsonValue } from '../weights/json.ts'

/** What a request takes where it says nothing. Null: the file says nothing either. */
export interface GenerationDefaults {
  /** Tokens that end an answer; empty if no file names any. */
  readonly eosTokenIds: readonly number[]
  /** For information: as in vLLM a request samples unless it asks for temperature 0. */
  readonly doSample: boolean | null
  readonly temperature: number | null
  /** 0 keeps all. */
  readonly topK: number | null
  readonly topP: number | null
  readonly minP: number | null
  readonly repetitionPenalty: number | null
  readonly maxNewTokens: number | null
}

/**
 * `generation`: the parsed generation_config.json, or null where the folder has none. End-of-sequence ids that it does
 * not name are taken from `config` (config.json). Throws ConfigError.
 */
export function readGenerationDefaults(generation: JsonObject | null, config: JsonObject): GenerationDefaults {
  const fields = new ConfigFields(generation ?? {}, 'generation_config.json')
  const within = (field: string, fits: (value: number) => boolean, wanted: string): number | null => {
    const value = fields.number(field, null)
    if (value === null || fits(value)) return value
    throw fields.error(field, `must be ${wanted}, not ${value}`)
  }
  const topK = within('top_k', (value) => Number.isInteger(value) && value >= -1, 'a whole number, 0 or more')
  return {
    eosTokenIds: readEos(fields) ?? readEos(new ConfigFields(config, 'config.json')) ?? [],
    doSample: fields.boolean('do_sample', null),
    temperature: within('temperature', (value) => value >= 0, '0 or more'),
    // -1 is vLLM's older word for "all".
    topK: topK === -1 ? 0 : topK,
    topP: within('top_p', (value) => value > 0 && value <= 1, 'above 0 and at most 1'),
    minP: within('min_p', (value) => value >= 0 && value <= 1, 'from 0 to 1'),
    repetitionPenalty: fields.positiveNumber('repetition_penalty', null),
    maxNewTokens: fields.positiveInteger('max_new_tokens', null),
  }
}

/** One id or a list of them; null where the field is missing. */
function readEos(fields: ConfigFields): readonly number[] | null {
  const value = fields.raw('eos_token_id')
  if (value === undefined || value === null) return null
  const ids: readonly JsonValue[] = Array.isArray(value) ? value : [value as JsonValue]
  if (!ids.every((id): id is number => Number.isInteger(id) && (id as number) >= 0)) {
    throw fields.error('eos_token_id', 'must be a token id or a list of them')
  }
  return [...new Set(ids)]
}
