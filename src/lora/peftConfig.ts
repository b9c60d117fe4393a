/**
 * adapter_config.json into what lorikeet computes: read as PEFT reads it, with PEFT's defaults and PEFT's order of
 * precedence, stricter about types, and refusing by name whatever would make the answer another one (peftFields.ts).
 */
import { ConfigError, ConfigFields } from '../weights/config.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../weights/json.ts'
import { type AcceptableRefusal, AdapterRefusedError, shown } from './errors.ts'
import { fullPathTest, type ModuleTest, nameTest, pathEndTest } from './modulePattern.ts'
import { noteIgnoredFields, refuseUnsupportedFields } from './peftFields.ts'
import { DEFAULT_REGEX_STATES, type MatchBudget, type StateBudget } from './pythonRegex.ts'

export const CONFIG_FILE = 'adapter_config.json'

export interface PeftConfig {
  readonly r: number
  readonly loraAlpha: number
  readonly useRslora: boolean
  /** In file order: the first that matches a module decides its rank. */
  readonly rankPattern: readonly PatternEntry[]
  /** In file order: the first that matches a module decides its alpha. */
  readonly alphaPattern: readonly PatternEntry[]
  readonly targetModules: TargetModules
  /** null: nothing is excluded. */
  readonly excludeModules: ModuleTest | null
  /** Layers that a list of names reaches; null: all. */
  readonly layersToTransform: readonly number[] | null
  /** Names of the module lists that layersToTransform counts in; empty: any. */
  readonly layersPattern: readonly string[]
  /** Which modules bring a bias of their own in place of the base's. */
  readonly bias: Bias
  readonly useDora: boolean
  /** B has a bias. */
  readonly loraBias: boolean
  /** Ends of the paths of modules that the adapter brings whole. */
  readonly modulesToSave: readonly string[]
  /** Tokens whose rows the adapter brings, by the module they are of. */
  readonly trainableTokens: TrainableTokens
  /** Ranges [start, end) of the base's layers that the model is made of; null: all, once. */
  readonly layerReplication: readonly LayerRange[] | null
  /** Activated LoRA: the tokens that invoke the adapter. */
  readonly invocation: readonly number[] | null
  /** PEFT keeps the embedding and the output layer of a tied base equal. */
  readonly ensureWeightTying: boolean
  /** A targeted module that the file has no tensors for is left as it is by PEFT, rather than filled at random. */
  readonly absentModulesDoNothing: boolean
  /** base_model_name_or_path, for messages only. */
  readonly baseModel: string | null
  /** What was ignored, in sentences, for the log and for reports. */
  readonly notes: readonly string[]
}

export interface PatternEntry {
  readonly key: string
  readonly value: number
  readonly matches: ModuleTest
}

export type TargetModules =
  | { readonly kind: 'names'; readonly names: ReadonlySet<string>; readonly matches: ModuleTest }
  | { readonly kind: 'regex'; readonly pattern: string; readonly matches: ModuleTest }
  /** Every linear layer but the output layer. */
  | { readonly kind: 'allLinear' }

/** In the order of their rows in the file; null: the module keeps its rows. */
export interface TrainableTokens {
  readonly embedding: readonly number[] | null
  readonly head: readonly number[] | null
}

export type LayerRange = readonly [start: number, end: number]

export type Bias = 'none' | 'all' | 'lora_only'

const BIASES: readonly Bias[] = ['none', 'all', 'lora_only']
const DEFAULT_RANK = 8
const DEFAULT_ALPHA = 8
/** What PEFT targets when the config names nothing; where projections are fused there is nothing of that name, and PEFT has no default. */
const DEFAULT_TARGETS: readonly string[] = ['q_proj', 'v_proj']
/** Heads that are not the causal language model this is served as. */
const OTHER_TASKS: readonly string[] = ['SEQ_CLS', 'SEQ_2_SEQ_LM', 'TOKEN_CLS', 'QUESTION_ANS']

/** @throws AdapterRefusedError; `param` is the field */
export function parsePeftConfig(values: JsonObject, accept: readonly AcceptableRefusal[] = []): PeftConfig {
  try {
    return parse(new ConfigFields(values, CONFIG_FILE), accept)
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause
    throw new AdapterRefusedError('adapter_config_invalid', cause.param, cause.message, { cause })
  }
}

function parse(fields: ConfigFields, accept: readonly AcceptableRefusal[]): PeftConfig {
  checkPeftType(fields)
  const notes: string[] = []
  checkTaskType(fields, notes)
  refuseUnsupportedFields(fields)
  const states: StateBudget = { states: DEFAULT_REGEX_STATES }
  const targetModules = readTargets(fields, states, notes)
  return {
    r: readRank(fields),
    loraAlpha: readAlpha(fields),
    useRslora: fields.boolean('use_rslora', false),
    rankPattern: readPattern(fields, states, 'rank_pattern', isRank, 'a whole number above 0'),
    alphaPattern: readPattern(fields, states, 'alpha_pattern', isFiniteNumber, 'a number'),
    targetModules,
    excludeModules: readExcluded(fields, states),
    ...readLayers(fields, targetModules),
    bias: readBias(fields),
    useDora: fields.boolean('use_dora', false),
    loraBias: readLoraBias(fields),
    modulesToSave: readModulesToSave(fields),
    trainableTokens: readTrainableTokens(fields),
    layerReplication: readLayerReplication(fields),
    invocation: readInvocation(fields),
    ensureWeightTying: fields.boolean('ensure_weight_tying', false),
    absentModulesDoNothing: readInit(fields, accept, notes),
    baseModel: fields.string('base_model_name_or_path', null),
    notes: [...notes, ...noteIgnoredFields(fields)],
  }
}

/**
 * Rank and scale of a module, as PEFT derives them: alpha / r, or alpha / sqrt(r) with rsLoRA, from its own r and alpha.
 * @throws AdapterRefusedError when the patterns are too expensive or the scale is too large
 */
export function rankAndScale(
  config: PeftConfig,
  path: string,
  budget: MatchBudget,
): { readonly rank: number; readonly scale: number; readonly rankField: string } {
  const ownRank = config.rankPattern.find(({ matches }) => matches(path, budget))
  const alpha = config.alphaPattern.find(({ matches }) => matches(path, budget))?.value ?? config.loraAlpha
  const rank = ownRank?.value ?? config.r
  const scale = alpha / (config.useRslora ? Math.sqrt(rank) : rank)
  if (!Number.isFinite(Math.fround(scale))) {
    const message = `${CONFIG_FILE}: lora_alpha ${alpha} over rank ${rank} is beyond what an F32 holds (${path}).`
    throw new AdapterRefusedError('adapter_config_invalid', 'lora_alpha', message)
  }
  return { rank, scale, rankField: ownRank ? `rank_pattern[${shown(ownRank.key)}]` : 'r' }
}

function checkPeftType(fields: ConfigFields): void {
  const type = fields.string('peft_type')
  if (type === 'LORA') return
  const message = `${CONFIG_FILE}: peft_type ${shown(type)} is not supported; only LORA adapters are served.`
  throw new AdapterRefusedError('adapter_unsupported', 'peft_type', message)
}

function checkTaskType(fields: ConfigFields, notes: string[]): void {
  const task = fields.string('task_type', null)
  if (task === null || task === 'CAUSAL_LM') return
  if (task === 'FEATURE_EXTRACTION') {
    notes.push(
      `${CONFIG_FILE}: task_type FEATURE_EXTRACTION is served like CAUSAL_LM: the adapted layers are the same.`,
    )
    return
  }
  if (!OTHER_TASKS.includes(task)) throw fields.error('task_type', `is none that PEFT knows: ${shown(task)}`)
  const message = `${CONFIG_FILE}: task_type ${task} needs a head of its own; only CAUSAL_LM adapters are served.`
  throw new AdapterRefusedError('adapter_unsupported', 'task_type', message)
}

function readRank(fields: ConfigFields): number {
  const r = fields.raw('r')
  if (r === undefined) return DEFAULT_RANK
  if (isRank(r)) return r
  const message = `LoRA rank \`r\` must be a positive integer, got ${shown(r)}.`
  throw new AdapterRefusedError('adapter_config_invalid', 'r', message)
}

function readAlpha(fields: ConfigFields): number {
  const alpha = fields.raw('lora_alpha')
  if (alpha === undefined) return DEFAULT_ALPHA
  if (!isFiniteNumber(alpha)) throw fields.error('lora_alpha', `must be a number, not ${shown(alpha)}`)
  return alpha
}

function readPattern(
  fields: ConfigFields,
  states: StateBudget,
  field: 'rank_pattern' | 'alpha_pattern',
  fits: (value: JsonValue) => value is number,
  wanted: string,
): PatternEntry[] {
  const patterns = fields.object(field, null)
  // JSON objects keep the order of the file, but for keys that are whole numbers; those match no projection's name.
  return Object.entries(patterns?.values ?? {}).map(([key, value]) => {
    if (!fits(value)) throw fields.error(field, `must give ${wanted} for ${shown(key)}, not ${shown(value)}`)
    return { key, value, matches: pathEndTest(field, key, states) }
  })
}

function readTargets(fields: ConfigFields, states: StateBudget, notes: string[]): TargetModules {
  const value = fields.raw('target_modules') ?? null
  if (value === null) {
    notes.push(
      `${CONFIG_FILE}: target_modules is not set; PEFT's default for this family is ${DEFAULT_TARGETS.join(', ')}.`,
    )
    return namedTargets(DEFAULT_TARGETS)
  }
  if (typeof value !== 'string') return namedTargets(readNames(fields, 'target_modules'))
  if (value.toLowerCase() === 'all-linear') return { kind: 'allLinear' }
  return { kind: 'regex', pattern: value, matches: fullPathTest('target_modules', value, states) }
}

function namedTargets(list: readonly string[]): TargetModules {
  const names = new Set(list)
  return { kind: 'names', names, matches: nameTest(names) }
}

function readExcluded(fields: ConfigFields, states: StateBudget): ModuleTest | null {
  const value = fields.raw('exclude_modules') ?? null
  if (value === null || value === '') return null
  if (typeof value === 'string') return fullPathTest('exclude_modules', value, states)
  const names = new Set(readNames(fields, 'exclude_modules'))
  return names.size > 0 ? nameTest(names) : null
}

function readNames(fields: ConfigFields, field: string): readonly string[] {
  const value = fields.raw(field)
  if (Array.isArray(value) && value.every((name) => typeof name === 'string')) return value
  throw fields.error(field, `must be a list of strings or a regular expression, not ${shown(value)}`)
}

function readLayers(
  fields: ConfigFields,
  targets: TargetModules,
): Pick<PeftConfig, 'layersToTransform' | 'layersPattern'> {
  for (const field of ['layers_to_transform', 'layers_pattern']) {
    if (targets.kind === 'names' || !fields.has(field)) continue
    throw fields.error(field, 'cannot be used when target_modules is a string')
  }
  const layersToTransform = readIndices(fields)
  const layersPattern = readLayersPattern(fields)
  if (layersToTransform === null && layersPattern.length > 0) {
    throw fields.error('layers_pattern', 'needs layers_to_transform beside it')
  }
  // PEFT takes an empty list for "all layers".
  return { layersToTransform: layersToTransform?.length === 0 ? null : layersToTransform, layersPattern }
}

function readIndices(fields: ConfigFields): readonly number[] | null {
  const value = fields.raw('layers_to_transform') ?? null
  if (value === null) return null
  const indices: readonly JsonValue[] = Array.isArray(value) ? value : [value]
  if (indices.every(isInteger)) return indices
  throw fields.error('layers_to_transform', `must be layer numbers, not ${shown(value)}`)
}

/** PEFT puts these into a regular expression; only names are taken, which mean the same as a name and as an expression. */
function readLayersPattern(fields: ConfigFields): readonly string[] {
  const value = fields.raw('layers_pattern') ?? null
  if (value === null || value === '') return []
  const names = typeof value === 'string' ? [value] : readNames(fields, 'layers_pattern')
  const odd = names.find((name) => !/^[A-Za-z0-9_]+$/.test(name))
  if (odd === undefined) return names
  const message = `${CONFIG_FILE}: layers_pattern ${shown(odd)} is not a plain name such as "layers"; other patterns are not supported.`
  throw new AdapterRefusedError('adapter_unsupported', 'layers_pattern', message)
}

function readBias(fields: ConfigFields): Bias {
  const value = fields.raw('bias')
  if (value === undefined) return 'none'
  const bias = BIASES.find((known) => known === value)
  if (!bias) throw fields.error('bias', `must be one of ${BIASES.join(', ')}, not ${shown(value)}`)
  return bias
}

function readLoraBias(fields: ConfigFields): boolean {
  const loraBias = fields.boolean('lora_bias', false)
  if (!loraBias || !fields.boolean('use_dora', false)) return loraBias
  const message = `${CONFIG_FILE}: lora_bias cannot be used with use_dora, in PEFT neither.`
  throw new AdapterRefusedError('adapter_config_invalid', 'lora_bias', message)
}

function readInvocation(fields: ConfigFields): readonly number[] | null {
  const field = 'alora_invocation_tokens'
  const value = fields.raw(field) ?? null
  if (value === null) return null
  if (!Array.isArray(value) || !value.every(isInteger)) throw fields.error(field, 'must be a list of token ids')
  // As in PEFT, where an empty list asks for nothing.
  return value.length > 0 ? value : null
}

function readLayerReplication(fields: ConfigFields): readonly LayerRange[] | null {
  const field = 'layer_replication'
  const value = fields.raw(field) ?? null
  if (value === null) return null
  if (!Array.isArray(value)) throw fields.error(field, 'must be a list of ranges')
  const ranges = value.map((range: JsonValue): LayerRange => {
    if (Array.isArray(range) && range.length === 2 && range.every(isInteger)) return [range[0]!, range[1]!]
    throw fields.error(field, `must be ranges [start, end), not ${shown(range)}`)
  })
  // As in PEFT, where an empty list asks for nothing.
  return ranges.length > 0 ? ranges : null
}

function readModulesToSave(fields: ConfigFields): readonly string[] {
  const names = fields.stringList<readonly string[]>('modules_to_save', [])
  // An empty name would be the end of every path.
  if (names.includes('')) throw fields.error('modules_to_save', 'has an empty name')
  return names
}

/** A list is for the embedding; an object names the module of each list. */
function readTrainableTokens(fields: ConfigFields): TrainableTokens {
  const field = 'trainable_token_indices'
  const value = fields.raw(field) ?? null
  const tokens: { embedding: readonly number[] | null; head: readonly number[] | null } = {
    embedding: null,
    head: null,
  }
  if (value === null) return tokens
  const lists = Array.isArray(value) ? { embed_tokens: value } : value
  if (!isJsonObject(lists)) throw fields.error(field, 'must be a list of token ids, or an object of such lists')
  for (const [name, list] of Object.entries(lists)) {
    const module = name.endsWith('embed_tokens') ? 'embedding' : name.endsWith('lm_head') ? 'head' : null
    if (module === null || tokens[module] !== null) {
      const message = `${CONFIG_FILE}: ${field} for ${shown(name)} is not supported; it can be for embed_tokens and lm_head.`
      throw new AdapterRefusedError('adapter_unsupported', field, message)
    }
    if (!Array.isArray(list) || !list.every(isInteger)) throw fields.error(field, 'must be token ids')
    tokens[module] = list
  }
  return tokens
}

/**
 * Most initialisations leave no trace in a saved adapter. Some rewrite the base (W - s B A of the start), so that the
 * saved tensors only mean something beside that base, which is not the one being served.
 * Answers whether a module that was initialised and never trained does nothing.
 */
function readInit(fields: ConfigFields, accept: readonly AcceptableRefusal[], notes: string[]): boolean {
  const value = fields.raw('init_lora_weights')
  if (value === undefined) return true
  if (value === null || typeof value === 'boolean') return value === true
  if (typeof value !== 'string')
    throw fields.error('init_lora_weights', `must be true, false or a name, not ${shown(value)}`)
  const name = value.toLowerCase()
  if (name === 'gaussian' || name === 'mica' || value === 'eva') return true
  if (value === 'orthogonal') return false
  if (/^(pissa|corda|olora$|loftq$|lora_ga$)/.test(name)) {
    if (accept.includes('adapter_changed_base')) {
      notes.push(
        `init_lora_weights ${shown(value)}: taken as it is, since the base is said to be the one it was changed to.`,
      )
      return false
    }
    const message = `${CONFIG_FILE}: init_lora_weights ${shown(value)} changed the base when the adapter was made, so on this base it would be wrong. Convert it with PEFT (save_pretrained with path_initial_model_for_weight_conversion) and load the converted adapter, or accept adapter_changed_base where the base that is served is the changed one.`
    throw new AdapterRefusedError('adapter_changed_base', 'init_lora_weights', message)
  }
  throw fields.error('init_lora_weights', `is none that PEFT knows: ${shown(value)}`)
}

function isFiniteNumber(value: JsonValue): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isInteger(value: JsonValue): value is number {
  return Number.isInteger(value)
}

function isRank(value: JsonValue): value is number {
  return isInteger(value) && value > 0 && value <= 0x7fff_ffff
}
