/**
 * Fields of a config.json that change what a model computes and that lorikeet does not implement. Real configs carry
 * scores of harmless fields, so those named here are refused unless they say nothing, and all others are passed over.
 */
import type { ConfigFields } from '../weights/config.ts'
import { isJsonObject, type JsonValue } from '../weights/json.ts'
import { UnsupportedModelError } from './errors.ts'
import type { Family } from './spec.ts'

/** For each field the values (beside null) under which a model computes the same as without it. */
const NEUTRAL: Readonly<Record<string, readonly JsonValue[]>> = {
  // Weights that are not what their names say.
  quantization_config: [],
  compression_config: [],
  // Position.
  rotary_pct: [1],
  rope_interleave: [false],
  rope_interleaved: [false],
  rope_local_base_freq: [],
  alibi: [false],
  // Attention.
  attention_chunk_size: [],
  attn_logit_softcapping: [],
  attention_output_gate: [false],
  attn_output_gate: [false],
  clip_qkv: [],
  is_causal: [true],
  kv_lora_rank: [],
  q_lora_rank: [],
  // Scales and caps between the layers and behind them.
  embedding_multiplier: [1],
  residual_multiplier: [1],
  logits_scaling: [1],
  logit_scale: [1],
  scale_emb: [1],
  scale_depth: [],
  final_logit_softcapping: [],
  // Layers of another shape.
  add_cross_attention: [false],
  is_encoder_decoder: [false],
  block_configs: [],
  per_layer_config: [],
  num_experts: [0],
  num_local_experts: [0],
  n_routed_experts: [0],
  parallel_attn: [false],
  use_parallel_residual: [false],
}

const ACTIVATIONS: readonly string[] = ['silu', 'swish']

/** Throws UnsupportedModelError for the first field that asks for other maths than the family's own. */
export function refuseOtherMaths(fields: ConfigFields, family: Family, headDim: number): void {
  const activation = fields.string('hidden_act', 'silu')
  if (!ACTIVATIONS.includes(activation)) {
    throw new UnsupportedModelError(fields.file, 'hidden_act', activation, 'Supported: silu')
  }
  const neutral: Readonly<Record<string, readonly JsonValue[]>> = {
    ...NEUTRAL,
    // Read with the other parameters of the rotary embedding where the family has it.
    ...(family !== 'phi3' && { partial_rotary_factor: [1] }),
    // Other spellings of the usual 1 / sqrt(headDim).
    attention_multiplier: [headDim ** -0.5],
    query_pre_attn_scalar: [headDim],
    qk_layernorm: [family === 'qwen3'],
    use_qk_norm: [family === 'qwen3'],
  }
  for (const [field, values] of Object.entries(neutral)) {
    if (!fields.has(field)) continue
    const value = fields.raw(field)!
    if (values.includes(value) || isEmpty(value)) continue
    const [usual] = values
    const supported = usual === undefined ? 'A model without it is' : `Supported: ${JSON.stringify(usual)}`
    throw new UnsupportedModelError(fields.file, field, value, supported)
  }
  // A list of ones and zeros: 1 where a layer has rotary embeddings.
  const rotary = fields.raw('no_rope_layers')
  if (Array.isArray(rotary) && rotary.some((has) => has !== 1)) {
    throw new UnsupportedModelError(fields.file, 'no_rope_layers', rotary, 'Every layer has rotary embeddings')
  }
}

function isEmpty(value: JsonValue): boolean {
  return Array.isArray(value) ? value.length === 0 : isJsonObject(value) && Object.keys(value).length === 0
}
