/** adapter_config.json and config.json. */
import { baseModules, savedModules, targetedModules } from '../../../src/lora/modules.ts'
import { CONFIG_LIMITS } from '../../../src/lora/peft.ts'
import { CONFIG_FILE, parsePeftConfig, rankAndScale } from '../../../src/lora/peftConfig.ts'
import { DEFAULT_MATCH_STEPS } from '../../../src/lora/pythonRegex.ts'
import { readModelSpec } from '../../../src/model/config.ts'
import { ConfigError, readJson } from '../../../src/weights/config.ts'
import { JsonSyntaxError, parseJson } from '../../../src/weights/json.ts'
import { TINY } from '../../lora/makeAdapter.ts'
import type { Dice } from '../dice.ts'
import { mutateText, nested, oddNumber } from '../mutate.ts'
import { type Files, must, type Target, text } from '../target.ts'
import { regexPattern } from './regex.ts'

/** What readers of configs look for. */
export const CONFIG_TOKENS: readonly string[] = [
  ...[
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    'null',
    'true',
    'false',
    '0',
    '-1',
    '1e999',
    '1.5',
    '""',
    '[]',
    '{}',
    '\\',
    '\\u0000',
    '\\ud800',
  ],
  ...[
    '"r"',
    '"lora_alpha"',
    '"target_modules"',
    '"q_proj"',
    '".*"',
    '"all-linear"',
    '"__proto__"',
    '"peft_type"',
    '// x',
    "'",
    'NaN',
    'Infinity',
  ],
]
const MODULES = [
  'q_proj',
  'v_proj',
  'gate_proj',
  'down_proj',
  'lm_head',
  'embed_tokens',
  'model.layers.0.mlp.up_proj',
  'mlp',
  'norm',
  '',
  'layers.1',
]

/** A value for a field, sensible or not. */
function value(dice: Dice, sensible: () => unknown): unknown {
  return dice.chance(0.96)
    ? sensible()
    : dice.pick([
        () => oddNumber(dice),
        () => null,
        () => [],
        () => ({}),
        () => '',
        () => true,
        () => [[]],
        () => 'x'.repeat(200),
      ])()
}

const PROJECTIONS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'up_proj', 'down_proj']
const targets = (dice: Dice): unknown =>
  dice.list(dice.small(1, 5), () => dice.pick(dice.chance(0.9) ? PROJECTIONS : MODULES))
const names = (dice: Dice): unknown => dice.list(dice.small(0, 5), () => dice.pick(MODULES))
const pattern = (dice: Dice): unknown =>
  Object.fromEntries(
    dice.list(dice.small(0, 4), () => [dice.chance(0.5) ? dice.pick(MODULES) : regexPattern(dice), oddNumber(dice)]),
  )
const flag = (dice: Dice): unknown => dice.chance(0.3)
const indices = (dice: Dice): unknown => dice.list(dice.small(0, 4), () => dice.small(-1, 33))

const ADAPTER_FIELDS: Readonly<Record<string, (dice: Dice) => unknown>> = {
  peft_type: (dice) => (dice.chance(0.95) ? 'LORA' : dice.pick(['IA3', 'lora', 'LOHA'])),
  task_type: (dice) => dice.pick(['CAUSAL_LM', 'SEQ_CLS', 'FEATURE_EXTRACTION', 'X']),
  r: (dice) => dice.small(1, 16),
  lora_alpha: (dice) => dice.small(0, 32),
  use_rslora: flag,
  use_dora: flag,
  lora_bias: flag,
  bias: (dice) => dice.pick(['none', 'all', 'lora_only']),
  target_modules: (dice) =>
    dice.pick([
      () => targets(dice),
      () => targets(dice),
      () => regexPattern(dice),
      () => `.*(${regexPattern(dice)}|_proj)`,
      () => 'all-linear',
    ])(),
  exclude_modules: (dice) => (dice.chance(0.5) ? names(dice) : regexPattern(dice)),
  layers_to_transform: (dice) => (dice.chance(0.5) ? indices(dice) : dice.small(0, 3)),
  layers_pattern: (dice) => dice.pick<unknown>(['layers', 'h', ['layers'], '.*', '']),
  rank_pattern: pattern,
  alpha_pattern: pattern,
  modules_to_save: names,
  trainable_token_indices: (dice) =>
    dice.chance(0.5) ? indices(dice) : { embed_tokens: indices(dice), lm_head: indices(dice) },
  alora_invocation_tokens: indices,
  init_lora_weights: (dice) =>
    dice.pick<unknown>([true, false, 'gaussian', 'pissa', 'pissa_niter_4', 'olora', 'loftq', 'eva', 'x']),
  ensure_weight_tying: flag,
  layer_replication: (dice) => dice.pick<unknown>([null, [], [[0, 1]], [[0, 1e9]], [[1, 0]], 'x']),
  fan_in_fan_out: flag,
  base_model_name_or_path: (dice) => dice.pick<unknown>(['x', null, 3]),
  kasa_config: (dice) => dice.pick<unknown>([null, {}]),
  unknown_field: (dice) => oddNumber(dice),
}

const MODEL_FIELDS: Readonly<Record<string, (dice: Dice) => unknown>> = {
  model_type: (dice) => dice.pick(['llama', 'llama', 'qwen3', 'qwen2', 'mistral', 'gpt2', '__proto__']),
  architectures: (dice) => dice.pick<unknown>([['LlamaForCausalLM'], ['Qwen3ForCausalLM'], [], 'x']),
  vocab_size: (dice) => dice.small(1, 512),
  hidden_size: (dice) => 16 * dice.small(1, 64),
  intermediate_size: (dice) => 4 * dice.small(1, 64),
  num_hidden_layers: (dice) => dice.pick([1, 2, 3, 80, 1024]),
  num_attention_heads: (dice) => dice.pick([2, 4, 4, 7]),
  num_key_value_heads: (dice) => dice.pick([1, 2, 2, 4, null]),
  head_dim: (dice) => dice.pick([4, 64, 64, null, 3]),
  max_position_embeddings: (dice) => dice.small(1, 4096),
  rms_norm_eps: (dice) => dice.pick([1e-5, 1e-6, 0]),
  rope_theta: (dice) => dice.pick([10_000, 0, 1e300]),
  rope_scaling: (dice) =>
    dice.pick<unknown>([
      null,
      { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 },
      { type: 'linear', factor: 2 },
      { type: 'yarn' },
      {},
    ]),
  rope_parameters: (dice) =>
    dice.pick<unknown>([null, { rope_theta: 1e4, rope_type: 'default' }, { full_attention: {} }]),
  layer_types: (dice) => dice.list(dice.small(0, 3), () => dice.pick(['full_attention', 'sliding_attention', 'x'])),
  sliding_window: (dice) => dice.pick([null, 4, 4096]),
  use_sliding_window: flag,
  max_window_layers: (dice) => dice.small(0, 80),
  tie_word_embeddings: flag,
  attention_bias: flag,
  mlp_bias: flag,
  hidden_act: (dice) => dice.pick(['silu', 'gelu']),
  attention_dropout: () => 0,
  quantization_config: (dice) => dice.pick<unknown>([null, { quant_method: 'gptq' }]),
}

function object(
  dice: Dice,
  fields: Readonly<Record<string, (dice: Dice) => unknown>>,
  required: readonly string[],
): Record<string, unknown> {
  const chosen = Object.entries(fields).filter(([field]) => dice.chance(required.includes(field) ? 0.99 : 0.1))
  return Object.fromEntries(chosen.map(([field, make]) => [field, value(dice, () => make(dice))]))
}

export function adapterConfig(dice: Dice): Record<string, unknown> {
  return object(dice, ADAPTER_FIELDS, ['peft_type', 'r', 'target_modules'])
}

export function adapterConfigText(dice: Dice): string {
  const honest = JSON.stringify(adapterConfig(dice), null, dice.pick([undefined, 2]))
  return dice.chance(0.6) ? honest : mutateText(dice, honest, CONFIG_TOKENS)
}

const config = (body: string): Files => ({
  [CONFIG_FILE]: text(`{"peft_type":"LORA","target_modules":["q_proj"],${body}}`),
})
const many = (make: (i: number) => string, bytes: number): string => {
  const pieces: string[] = []
  for (let i = 0, left = bytes; left > 0; i++) {
    const piece = make(i)
    pieces.push(piece)
    left -= piece.length + 1
  }
  return pieces.join()
}
/** Somewhat less than what is read at all, and more. */
const FULL = CONFIG_LIMITS.maxBytes - 200
const name = (i: number): string => i.toString(36)

export const HEAVY_CONFIGS: readonly (() => Files)[] = [
  () => config(`"x":[${many(() => '{}', FULL)}]`),
  () => config(`"x":[${many(() => '{"":0}', FULL)}]`),
  () => config(`"x":[${many(() => '[]', FULL)}]`),
  () => config(`"x":[${many(() => '1e9', FULL)}]`),
  () => config(`"x":"${'\\u00e9'.repeat(FULL / 6)}"`),
  () => config(`"x":${nested('[', '', ']', FULL / 2)}`),
  () => config(`"modules_to_save":[${many((i) => `"${name(i)}"`, FULL)}]`),
  () => config(`"modules_to_save":[${many((i) => `"norm${name(i)}"`, FULL)}]`),
  () => config(`"exclude_modules":[${many((i) => `"${name(i)}"`, FULL)}]`),
  () => config(`"layers_to_transform":[${many((i) => `${i + 1000}`, FULL)}]`),
  () => config(`"rank_pattern":{${many((i) => `"${name(i)}":1`, FULL)}}`),
  () => config(`"rank_pattern":{${many((i) => `"${name(i)}|":1`, FULL)}}`),
  () => config(`"rank_pattern":{${many((i) => `"[^${name(i)}]":1`, FULL)}}`),
  () => config(`"rank_pattern":{${many((i) => `"${name(i)}.*.*.*.*.*.*.*x":1`, FULL)}}`),
  () => config(`"rank_pattern":{${many((i) => `"(a?){600}${name(i)}":1`, FULL)}}`),
  () => config(`"rank_pattern":{${many((i) => `"((((.*)*)*)*)*{9}${name(i)}":1`, FULL)}}`),
  () => config(`"alpha_pattern":{${many((i) => `"(.|.){4000}${name(i)}|x":1`, FULL)}}`),
  () => config(`"rank_pattern":{"${'x|'.repeat(8000)}y":1}`),
  () => config(`"rank_pattern":{${many((i) => `"[${'a-zA-Z0-9'.repeat(1800)}]${name(i)}":1`, FULL)}}`),
  () => config(`"trainable_token_indices":[${many((i) => `${i}`, FULL)}]`),
  () => config(`"alora_invocation_tokens":[${many(() => '1', FULL)}]`),
  () => config(`"layer_replication":[${many((i) => `[0,${i}]`, FULL)}]`),
  () => config(many((i) => `"${name(i)}":null`, FULL)),
  () => ({ [CONFIG_FILE]: text(`{"peft_type":"LORA","target_modules":"(.*.*.*.*)*(a|.){900}$"}`) }),
  () => ({ [CONFIG_FILE]: new Uint8Array(CONFIG_LIMITS.maxBytes + 1).fill(32) }),
  () => ({ [CONFIG_FILE]: new Uint8Array(CONFIG_LIMITS.maxBytes).fill(10) }),
]

/** Deeper than any base there is. */
const DEEP = { ...TINY, numLayers: 160, slidingWindows: Array.from({ length: 160 }, () => null) }

export const peftConfig: Target = {
  name: 'adapter_config',
  make: (dice) => ({ [CONFIG_FILE]: text(adapterConfigText(dice)) }),
  heavy: HEAVY_CONFIGS,
  async run(reading) {
    const values = await readJson(reading.folder(), CONFIG_FILE, CONFIG_LIMITS)
    const config = parsePeftConfig(values)
    const budget = { steps: DEFAULT_MATCH_STEPS }
    const spec = reading.files[CONFIG_FILE]!.byteLength > 10_000 ? DEEP : TINY
    const modules = targetedModules(spec, config, budget)
    must(modules.length > 0 && modules.length <= baseModules(spec).length, 'modules that are not the base’s')
    savedModules(spec, config)
    for (const { path } of modules) {
      const { rank, scale } = rankAndScale(config, path, budget)
      must(Number.isSafeInteger(rank) && rank > 0 && Number.isFinite(scale), 'a rank or a scale that is none')
    }
    return 0
  },
}

export const modelConfig: Target = {
  name: 'config',
  make(dice) {
    const required = [
      'model_type',
      'vocab_size',
      'hidden_size',
      'intermediate_size',
      'num_hidden_layers',
      'num_attention_heads',
    ]
    const honest = JSON.stringify(object(dice, MODEL_FIELDS, required))
    return { 'config.json': text(dice.chance(0.6) ? honest : mutateText(dice, honest, CONFIG_TOKENS)) }
  },
  heavy: [
    () => ({ 'config.json': text(`{"model_type":"llama","layer_types":[${many(() => '"full_attention"', 1e5)}]}`) }),
  ],
  async run(reading) {
    const spec = readModelSpec(await readJson(reading.folder(), 'config.json'))
    must(spec.slidingWindows.length === spec.numLayers, 'windows that are not one a layer')
    return 0
  },
}

/** JSON as such, against the engine's own parser: what is taken means the same to both. */
export const json: Target = {
  name: 'json',
  make(dice) {
    const honest = JSON.stringify(randomValue(dice, 4), null, dice.pick([undefined, 1]))
    return { file: text(dice.chance(0.3) ? honest : mutateText(dice, honest, CONFIG_TOKENS)) }
  },
  heavy: [
    () => ({ file: text(nested('{"":', '0', '}', 100_000)) }),
    () => ({ file: text(`"${'\\\\'.repeat(300_000)}`) }),
  ],
  async run(reading) {
    const source = reading.source()
    const written = new TextDecoder().decode(await source.read(0, source.size))
    const values = parsed(written)
    must(JSON.stringify(values) === JSON.stringify(JSON.parse(written)), 'another value than JSON.parse reads')
    return 0
  },
}

function parsed(written: string): unknown {
  try {
    return parseJson(written)
  } catch (cause) {
    if (!(cause instanceof JsonSyntaxError)) throw cause
    throw new ConfigError('file', null, cause.message)
  }
}

function randomValue(dice: Dice, depth: number): unknown {
  const kind = dice.integer(depth > 0 ? 7 : 5)
  if (kind === 5) return dice.list(dice.small(0, 4), () => randomValue(dice, depth - 1))
  if (kind === 6)
    return Object.fromEntries(
      dice.list(dice.small(0, 4), () => [
        dice.pick(['a', 'b', '', '7', 'ü', '__proto__']),
        randomValue(dice, depth - 1),
      ]),
    )
  return dice.pick<() => unknown>([
    () => oddNumber(dice),
    () => dice.next() * 1e20,
    () => null,
    () => 'a\n"\\\u0001é🦜'.slice(0, dice.integer(9)),
    () => true,
  ])()
}
