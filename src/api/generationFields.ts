/**
 * The fields that chat and plain completions share, with vLLM's ranges and vLLM's words for them. `null` counts as
 * absent everywhere, as clients send it for "default".
 */
import {
  array,
  boolean,
  check,
  custom,
  type GenericSchema,
  integer,
  lazy,
  maxLength,
  minLength,
  minValue,
  never,
  nullish,
  number,
  object,
  picklist,
  pipe,
  string,
} from 'valibot'
import { type LoraParam, loraField } from './lora.ts'
import { type Fields, show } from './validate.ts'

/** Most choices one prompt may ask for, as OpenAI's API has it. */
export const MAX_N = 128

/** Most entries of a logit_bias: what the sampler's tables hold for a row. */
const MAX_LOGIT_BIASES = 300

/** Most stop strings of a request. */
export const MAX_STOP_STRINGS = 16

export type Nullish<T> = T | null | undefined

export interface StreamOptions {
  /** A last chunk with the usage of the whole request. */
  readonly include_usage?: Nullish<boolean>
  /** vLLM: usage so far in every chunk. */
  readonly continuous_usage_stats?: Nullish<boolean>
  /** OpenAI pads chunks against traffic analysis; lorikeet never does. */
  readonly include_obfuscation?: Nullish<boolean>
}

export interface GenerationParams {
  readonly model?: Nullish<string>
  /** llama.cpp: adapters, each with a weight. */
  readonly lora?: LoraParam
  readonly max_tokens?: Nullish<number>
  readonly temperature?: Nullish<number>
  readonly top_p?: Nullish<number>
  readonly top_k?: Nullish<number>
  readonly min_p?: Nullish<number>
  readonly presence_penalty?: Nullish<number>
  readonly frequency_penalty?: Nullish<number>
  readonly repetition_penalty?: Nullish<number>
  /** By token id; cut to -100 (never drawn) .. 100. */
  readonly logit_bias?: Nullish<Readonly<Record<string, number>>>
  /** vLLM: no other token is drawn, the end of sequence included. */
  readonly allowed_token_ids?: Nullish<readonly number[]>
  readonly n?: Nullish<number>
  readonly seed?: Nullish<number>
  readonly stop?: Nullish<string | readonly string[]>
  readonly stop_token_ids?: Nullish<readonly number[]>
  readonly ignore_eos?: Nullish<boolean>
  readonly min_tokens?: Nullish<number>
  readonly include_stop_str_in_output?: Nullish<boolean>
  readonly skip_special_tokens?: Nullish<boolean>
  readonly stream?: Nullish<boolean>
  readonly stream_options?: Nullish<StreamOptions>
  readonly prompt_logprobs?: Nullish<number>
  readonly return_token_ids?: Nullish<boolean>
  readonly return_tokens_as_token_ids?: Nullish<boolean>
  readonly add_special_tokens?: Nullish<boolean>
  readonly truncate_prompt_tokens?: Nullish<number>
  readonly truncation_side?: Nullish<'left' | 'right'>
}

type Schema<T> = GenericSchema<unknown, T>

export const flag: Schema<Nullish<boolean>> = nullish(boolean())

/** An integer that `test` accepts; else vLLM's sentence `<name> must be <words>, got <value>.` */
export function wholeNumber(name: string, words: string, test: (value: number) => boolean): Schema<Nullish<number>> {
  return nullish(
    pipe(
      number(),
      integer(({ input }) => `${name} must be an integer, got ${input}.`),
      check(test, ({ input }) => `${name} must be ${words}, got ${input}.`),
    ),
  )
}

function realNumber(name: string, words: string, test: (value: number) => boolean): Schema<Nullish<number>> {
  return nullish(
    pipe(
      number(),
      check(test, ({ input }) => `${name} must be ${words}, got ${input}.`),
    ),
  )
}

/** A list of token ids; whether the model has them is checked where the model is known. */
export const tokenIds: Schema<readonly number[]> = array(
  pipe(
    number(),
    integer(({ input }) => `A token id must be an integer, got ${input}.`),
    minValue(0, ({ input }) => `A token id must not be negative, got ${input}.`),
  ),
)

const stopString = pipe(string(), minLength(1, 'stop cannot contain an empty string.'))
const stopStrings = pipe(
  array(stopString),
  maxLength(
    MAX_STOP_STRINGS,
    ({ input }) => `stop must hold at most ${MAX_STOP_STRINGS} strings, got ${input.length}.`,
  ),
)

// Not a union: that would forget which of several strings is empty.
const stop = lazy((input) => {
  if (Array.isArray(input)) return stopStrings
  return typeof input === 'string' ? stopString : never('a string or an array of strings')
}) as Schema<string | string[]>

const logitBias = pipe(
  custom<Readonly<Record<string, number>>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'an object',
  ),
  check(
    (biases) => misfit(biases) === null,
    ({ input }) => misfit(input)!,
  ),
)

/** What is wrong with a logit_bias, or null. */
function misfit(biases: Readonly<Record<string, unknown>>): string | null {
  const entries = Object.entries(biases)
  if (entries.length > MAX_LOGIT_BIASES) {
    return `logit_bias must hold at most ${MAX_LOGIT_BIASES} entries, got ${entries.length}.`
  }
  for (const [id, bias] of entries) {
    if (!/^\d{1,9}$/.test(id)) return `The keys of logit_bias must be token ids, got ${show(id)}.`
    if (typeof bias !== 'number') return `The bias of token ${id} in logit_bias must be a number, got ${show(bias)}.`
  }
  return null
}

export const generationFields: Fields<GenerationParams> = {
  model: nullish(string()),
  lora: loraField,
  max_tokens: wholeNumber('max_tokens', 'at least 0', (value) => value >= 0),
  temperature: realNumber('temperature', 'in [0, 2]', (value) => value >= 0 && value <= 2),
  top_p: realNumber('top_p', 'in (0, 1]', (value) => value > 0 && value <= 1),
  // -1 is an older spelling of 0.
  top_k: wholeNumber('top_k', '0 (disable), or at least 1', (value) => value >= -1),
  min_p: realNumber('min_p', 'in [0, 1]', (value) => value >= 0 && value <= 1),
  presence_penalty: realNumber('presence_penalty', 'in [-2, 2]', (value) => value >= -2 && value <= 2),
  frequency_penalty: realNumber('frequency_penalty', 'in [-2, 2]', (value) => value >= -2 && value <= 2),
  repetition_penalty: realNumber('repetition_penalty', 'greater than zero', (value) => value > 0),
  logit_bias: nullish(logitBias),
  allowed_token_ids: nullish(pipe(tokenIds, minLength(1, 'allowed_token_ids must not be empty.'))),
  n: wholeNumber('n', `at least 1 and at most ${MAX_N}`, (value) => value >= 1 && value <= MAX_N),
  seed: wholeNumber('seed', 'a 64-bit integer', (value) => value >= -(2 ** 63) && value <= 2 ** 63),
  stop: nullish(stop),
  stop_token_ids: nullish(tokenIds),
  ignore_eos: flag,
  min_tokens: wholeNumber('min_tokens', 'greater than or equal to 0', (value) => value >= 0),
  include_stop_str_in_output: flag,
  skip_special_tokens: flag,
  stream: flag,
  stream_options: nullish(
    object({ include_usage: flag, continuous_usage_stats: flag, include_obfuscation: flag }),
  ) as Schema<Nullish<StreamOptions>>,
  prompt_logprobs: wholeNumber('prompt_logprobs', 'non-negative', (value) => value >= 0),
  return_token_ids: flag,
  return_tokens_as_token_ids: flag,
  add_special_tokens: flag,
  truncate_prompt_tokens: wholeNumber('truncate_prompt_tokens', '-1 or at least 1', (v) => v === -1 || v >= 1),
  truncation_side: nullish(picklist(['left', 'right'], '"left" or "right"')),
}
