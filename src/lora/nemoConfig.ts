/**
 * model_config.yaml of a NeMo adapter: its rank, its scale, and the sizes of the base it was made for. What would change
 * the answer and is not computed (other schemes, tied weights, parallel splits) is refused by name.
 */
import type { ModelSpec } from '../model/spec.ts'
import { ConfigError, ConfigFields } from '../weights/config.ts'
import { isJsonObject } from '../weights/json.ts'
import { parseYaml, YamlSyntaxError } from '../weights/yaml.ts'
import { AdapterRefusedError, shown } from './errors.ts'

export const NEMO_CONFIG_FILE = 'model_config.yaml'

export interface NemoConfig {
  readonly rank: number
  /** alpha / adapter_dim; 1 where no alpha is said. */
  readonly scale: number
}

/** @throws AdapterRefusedError; `param` is the field, as `peft.lora_tuning.adapter_dim` */
export function parseNemoConfig(text: string, spec: ModelSpec): NemoConfig {
  try {
    const values = parseYaml(text)
    if (!isJsonObject(values)) throw new ConfigError(NEMO_CONFIG_FILE, null, 'must be a mapping')
    return parse(new ConfigFields(values, NEMO_CONFIG_FILE), spec)
  } catch (cause) {
    if (cause instanceof ConfigError) {
      throw new AdapterRefusedError('adapter_config_invalid', cause.param, cause.message, { cause })
    }
    if (!(cause instanceof YamlSyntaxError)) throw cause
    const message = `${NEMO_CONFIG_FILE} is not YAML that can be read: ${cause.message}.`
    throw new AdapterRefusedError('adapter_config_invalid', NEMO_CONFIG_FILE, message, { cause })
  }
}

function parse(fields: ConfigFields, spec: ModelSpec): NemoConfig {
  const peft = fields.object('peft')
  const scheme = peft.string('peft_scheme')
  if (scheme !== 'lora') throw unsupported('peft.peft_scheme', `${shown(scheme)} is not supported; only lora is`)
  const lora = peft.object('lora_tuning')
  const variant = lora.string('variant', 'nemo')
  if (variant !== 'nemo' && variant !== 'canonical') {
    throw unsupported('peft.lora_tuning.variant', `${shown(variant)} is not supported`)
  }
  if (lora.boolean('weight_tying', false)) {
    throw unsupported('peft.lora_tuning.weight_tying', 'shares one adapter between all layers, which is not supported')
  }
  if (lora.string('position_embedding_strategy', null) !== null) {
    throw unsupported(
      'peft.lora_tuning.position_embedding_strategy',
      'belongs to tied weights, which are not supported',
    )
  }
  for (const field of ['tensor_model_parallel_size', 'pipeline_model_parallel_size']) {
    if (fields.positiveInteger(field, 1) === 1) continue
    throw unsupported(field, 'is not 1: adapters that are split over ranks are not supported. Merge the ranks first')
  }
  checkSizes(fields, spec)
  const rank = lora.positiveInteger('adapter_dim')
  return { rank, scale: lora.number('alpha', rank) / rank }
}

/** The sizes of the base, where the config has them: rows of the fused matrices depend on them. */
function checkSizes(fields: ConfigFields, spec: ModelSpec): void {
  const heads = fields.positiveInteger('num_attention_heads', null)
  const sizes: readonly (readonly [field: string, said: number | null, base: number])[] = [
    ['num_layers', fields.positiveInteger('num_layers', null), spec.numLayers],
    ['hidden_size', fields.positiveInteger('hidden_size', null), spec.hiddenSize],
    ['ffn_hidden_size', fields.positiveInteger('ffn_hidden_size', null), spec.intermediateSize],
    ['num_attention_heads', heads, spec.numHeads],
    ['num_query_groups', fields.positiveInteger('num_query_groups', heads), spec.numKvHeads],
    ['kv_channels', fields.positiveInteger('kv_channels', null), spec.headDim],
  ]
  for (const [field, said, base] of sizes) {
    if (said === null || said === base) continue
    const message = `${NEMO_CONFIG_FILE}: ${field} is ${said}, the base has ${base}. Was the adapter made for another base?`
    throw new AdapterRefusedError('adapter_shape_mismatch', field, message)
  }
}

function unsupported(field: string, problem: string): AdapterRefusedError {
  return new AdapterRefusedError('adapter_unsupported', field, `${NEMO_CONFIG_FILE}: ${field} ${problem}.`)
}
