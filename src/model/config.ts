/**
 * Reads a Hugging Face `config.json` as transformers reads it: the same defaults per family, the older spelling
 * (`rope_theta`, `rope_scaling`) and the newer one (`rope_parameters`, `layer_types`). What transformers would compute
 * and lorikeet would not is refused by name (mathsFields.ts); fields that change nothing (`pretraining_tp`, which only
 * cuts the same sums differently, dropouts, `torch_dtype`) are passed over.
 */
import { ConfigError, ConfigFields } from '../weights/config.ts'
import { isJsonObject, type JsonValue } from '../weights/json.ts'
import { UnsupportedModelError } from './errors.ts'
import { refuseOtherMaths } from './mathsFields.ts'
import { readRope } from './ropeConfig.ts'
import { readSlidingWindows } from './slidingWindows.ts'
import type { Family, ModelSpec } from './spec.ts'

/** What a family takes for a field that its config.json leaves out: the defaults of the transformers classes. */
interface FamilyDefaults {
  readonly architecture: string
  readonly maxPositions: number
  readonly normEps: number
  /** Key/value heads; null: as many as query heads. */
  readonly numKvHeads: number | null
  /** null: hidden size / heads. */
  readonly headDim: number | null
}

const FAMILIES: Readonly<Record<Family, FamilyDefaults>> = {
  llama: { architecture: 'LlamaForCausalLM', maxPositions: 2048, normEps: 1e-6, numKvHeads: null, headDim: null },
  mistral: { architecture: 'MistralForCausalLM', maxPositions: 131_072, normEps: 1e-6, numKvHeads: 8, headDim: null },
  qwen2: { architecture: 'Qwen2ForCausalLM', maxPositions: 32_768, normEps: 1e-6, numKvHeads: 32, headDim: null },
  qwen3: { architecture: 'Qwen3ForCausalLM', maxPositions: 32_768, normEps: 1e-6, numKvHeads: 32, headDim: 128 },
  phi3: { architecture: 'Phi3ForCausalLM', maxPositions: 4096, normEps: 1e-5, numKvHeads: null, headDim: null },
}

const MAX_LAYERS = 1024
/** Kernels read four elements at a time. */
const VECTOR = 4

/**
 * `config`: the parsed file, `file`: its name in messages.
 * Throws ConfigError for a field that is missing or of the wrong type, UnsupportedModelError for one that asks for
 * something lorikeet does not compute.
 */
export function readModelSpec(config: unknown, file = 'config.json'): ModelSpec {
  if (!isJsonObject(config as JsonValue | undefined)) throw new ConfigError(file, null, 'must be a JSON object')
  const fields = new ConfigFields(config as Readonly<Record<string, JsonValue>>, file)
  const family = readFamily(fields)
  const sizes = readSizes(fields, family)
  refuseOtherMaths(fields, family, sizes.headDim)
  const { theta, scaling, rotaryDim, maxPositions } = readRope(fields, family, sizes)
  return {
    family,
    ...sizes,
    rotaryDim,
    maxPositions,
    normEps: fields.positiveNumber('rms_norm_eps', FAMILIES[family].normEps),
    ropeTheta: theta,
    ropeScaling: scaling,
    tiedEmbeddings: fields.boolean('tie_word_embeddings', false),
    bias: readBias(fields, family),
    qkNorm: family === 'qwen3',
    slidingWindows: readSlidingWindows(fields, family, sizes.numLayers),
  }
}

function readFamily(fields: ConfigFields): Family {
  const supported = `Supported: ${Object.keys(FAMILIES).join(', ')}`
  const type = fields.string('model_type')
  if (!Object.hasOwn(FAMILIES, type)) throw new UnsupportedModelError(fields.file, 'model_type', type, supported)
  const family = type as Family
  // A reward model or an encoder shares its family's layers, not its head or its mask.
  const { architecture } = FAMILIES[family]
  for (const name of fields.stringList('architectures', [])) {
    if (name.toLowerCase() === architecture.toLowerCase()) continue
    throw new UnsupportedModelError(fields.file, 'architectures', name, `Supported for ${family}: ${architecture}`)
  }
  return family
}

type Sizes = Pick<
  ModelSpec,
  'vocabSize' | 'hiddenSize' | 'intermediateSize' | 'numLayers' | 'numHeads' | 'numKvHeads' | 'headDim' | 'maxPositions'
>

function readSizes(fields: ConfigFields, family: Family): Sizes {
  const defaults = FAMILIES[family]
  const hiddenSize = fields.positiveInteger('hidden_size')
  const numHeads = fields.positiveInteger('num_attention_heads')
  // Null means one key/value head per query head everywhere; only a missing field has the family's default.
  const missingKvHeads = fields.raw('num_key_value_heads') === undefined ? defaults.numKvHeads : null
  const numKvHeads = fields.positiveInteger('num_key_value_heads', missingKvHeads ?? numHeads)
  const headDim = fields.positiveInteger('head_dim', defaults.headDim ?? hiddenSize / numHeads)
  const sizes = {
    vocabSize: fields.positiveInteger('vocab_size'),
    hiddenSize,
    intermediateSize: fields.positiveInteger('intermediate_size'),
    numLayers: fields.positiveInteger('num_hidden_layers'),
    numHeads,
    numKvHeads,
    headDim,
    maxPositions: fields.positiveInteger('max_position_embeddings', defaults.maxPositions),
  }
  checkSizes(fields, sizes)
  return sizes
}

function checkSizes(fields: ConfigFields, sizes: Sizes): void {
  const { hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim } = sizes
  if (numLayers > MAX_LAYERS) throw fields.error('num_hidden_layers', `is ${numLayers}: at most ${MAX_LAYERS} are read`)
  if (numHeads % numKvHeads !== 0) {
    throw fields.error('num_key_value_heads', `(${numKvHeads}) must divide num_attention_heads (${numHeads})`)
  }
  if (!Number.isInteger(headDim)) {
    throw fields.error(
      'num_attention_heads',
      `(${numHeads}) must divide hidden_size (${hiddenSize}) unless head_dim is given`,
    )
  }
  for (const [field, size] of [
    ['hidden_size', hiddenSize],
    ['intermediate_size', intermediateSize],
    ['head_dim', headDim],
  ] as const) {
    if (size % VECTOR === 0) continue
    throw new UnsupportedModelError(fields.file, field, size, `It must be a multiple of ${VECTOR}`)
  }
}

function readBias(fields: ConfigFields, family: Family): ModelSpec['bias'] {
  switch (family) {
    case 'llama': {
      const attention = fields.boolean('attention_bias', false)
      return { qkv: attention, o: attention, mlp: fields.boolean('mlp_bias', false) }
    }
    case 'qwen3': {
      const attention = fields.boolean('attention_bias', false)
      return { qkv: attention, o: attention, mlp: false }
    }
    case 'qwen2':
      return { qkv: true, o: false, mlp: false }
    case 'mistral':
    case 'phi3':
      return { qkv: false, o: false, mlp: false }
  }
}
