/**
 * The fields of adapter_config.json that lorikeet does not compute, as tables. PEFT has dozens; each one either changes
 * the answer (a row of REFUSED_FIELDS, until it is implemented and its row goes), or changes nothing when serving (a row
 * of IGNORED_FIELDS, with a note where its owner might expect otherwise), or is not known (noted, as PEFT warns).
 */
import type { ConfigFields } from '../weights/config.ts'
import { isJsonObject, type JsonValue } from '../weights/json.ts'
import { type AdapterRefusal, AdapterRefusedError } from './errors.ts'

/** How PEFT reads a field that switches a feature on. */
type SwitchKind =
  /** true switches it on. */
  | 'flag'
  /** A list with something in it. */
  | 'list'
  /** Any list or object, an empty one too: PEFT asks whether it is None. */
  | 'setting'

interface RefusedField {
  readonly field: string
  readonly kind: SwitchKind
  readonly code?: AdapterRefusal
  /** Completes the sentence that begins with the field's name. */
  readonly problem: string
}

const REFUSED_FIELDS: readonly RefusedField[] = [
  { field: 'target_parameters', kind: 'list', problem: 'adapts bare parameters (experts), which is not supported' },
  { field: 'use_qalora', kind: 'flag', problem: 'asks for QALoRA, whose A reads a pooled input: not supported' },
  { field: 'use_bdlora', kind: 'setting', problem: 'asks for block-diagonal LoRA, which is not supported' },
  { field: 'arrow_config', kind: 'setting', problem: 'routes between several adapters, which is not supported' },
  { field: 'velora_config', kind: 'setting', problem: 'asks for VeLoRA, which is not supported' },
  { field: 'monteclora_config', kind: 'setting', problem: 'samples its weights at random, which is not supported' },
  { field: 'megatron_config', kind: 'setting', problem: 'is for Megatron layers, which this base does not have' },
  {
    field: 'kasa_config',
    kind: 'setting',
    code: 'adapter_changed_base',
    problem:
      'belongs to a base whose small singular values were cut off when it was made; on this base it would be wrong',
  },
]

/** @throws AdapterRefusedError for the first field that asks for something that is not computed */
export function refuseUnsupportedFields(fields: ConfigFields): void {
  for (const { field, kind, code = 'adapter_unsupported', problem } of REFUSED_FIELDS) {
    if (!isOn(fields, field, kind)) continue
    throw new AdapterRefusedError(code, field, `adapter_config.json: ${field} ${problem}.`)
  }
}

function isOn(fields: ConfigFields, field: string, kind: SwitchKind): boolean {
  const value = fields.raw(field) ?? null
  if (kind === 'flag') return fields.boolean(field, false)
  if (value === null) return false
  const list = Array.isArray(value)
  if (kind === 'list' ? !list : !list && !isJsonObject(value)) {
    throw fields.error(field, kind === 'list' ? 'must be a list' : 'must be an object')
  }
  return kind === 'setting' || (value as readonly JsonValue[]).length > 0
}

interface IgnoredField {
  readonly field: string
  readonly type: 'string' | 'boolean' | 'number' | 'object'
  /** Completes the sentence that begins with the field's name; told when the field is set to something. */
  readonly note?: string
}

const IGNORED_FIELDS: readonly IgnoredField[] = [
  { field: 'auto_mapping', type: 'object' },
  { field: 'inference_mode', type: 'boolean' },
  { field: 'lora_dropout', type: 'number' },
  { field: 'megatron_core', type: 'string' },
  { field: 'peft_version', type: 'string' },
  { field: 'qalora_group_size', type: 'number' },
  { field: 'revision', type: 'string' },
  {
    field: 'fan_in_fan_out',
    type: 'boolean',
    note: 'is ignored, as in PEFT: every adapted layer of this base is plain linear',
  },
  { field: 'loftq_config', type: 'object', note: 'is ignored, as in PEFT: it only served the initialisation' },
  { field: 'eva_config', type: 'object', note: 'is ignored: it only served the initialisation' },
  { field: 'corda_config', type: 'object', note: 'is ignored, as in PEFT: init_lora_weights is not corda' },
  { field: 'lora_ga_config', type: 'object', note: 'is ignored, as in PEFT: init_lora_weights is not lora_ga' },
  { field: 'runtime_config', type: 'object', note: 'is ignored, as in PEFT' },
]

/** Fields that peftConfig.ts reads itself. */
const READ_FIELDS: readonly string[] = [
  'peft_type',
  'task_type',
  'base_model_name_or_path',
  'r',
  'lora_alpha',
  'use_rslora',
  'rank_pattern',
  'alpha_pattern',
  'target_modules',
  'exclude_modules',
  'layers_to_transform',
  'layers_pattern',
  'bias',
  'init_lora_weights',
  'use_dora',
  'lora_bias',
  'modules_to_save',
  'trainable_token_indices',
  'ensure_weight_tying',
  'alora_invocation_tokens',
  'layer_replication',
]

const KNOWN_FIELDS: ReadonlySet<string> = new Set([
  ...READ_FIELDS,
  ...REFUSED_FIELDS.map(({ field }) => field),
  ...IGNORED_FIELDS.map(({ field }) => field),
])

/** A sentence for each field that is set and changes nothing. @throws ConfigError for one of the wrong type */
export function noteIgnoredFields(fields: ConfigFields): string[] {
  const notes = IGNORED_FIELDS.flatMap(({ field, type, note }) => {
    const said = fields.has(field) && saysSomething(fields, field, type)
    return said && note !== undefined ? [`adapter_config.json: ${field} ${note}.`] : []
  })
  const unknown = Object.keys(fields.values).filter((field) => !KNOWN_FIELDS.has(field))
  if (unknown.length > 0) {
    const some = unknown.slice(0, 10).map((field) => JSON.stringify(field.slice(0, 60)))
    const more = unknown.length > some.length ? ` and ${unknown.length - some.length} more` : ''
    notes.push(`adapter_config.json: ignored, as in PEFT, because it does not know them: ${some.join(', ')}${more}.`)
  }
  return notes
}

function saysSomething(fields: ConfigFields, field: string, type: IgnoredField['type']): boolean {
  switch (type) {
    case 'string':
      return fields.string(field) !== ''
    case 'boolean':
      return fields.boolean(field)
    case 'number':
      return Number.isFinite(fields.number(field))
    case 'object':
      return Object.keys(fields.object(field).values).length > 0
  }
}
