/** Rotary embedding parameters of a config.json, in the older and the newer spelling. */
import type { ConfigFields } from '../weights/config.ts'
import type { JsonValue } from '../weights/json.ts'
import { UnsupportedModelError } from './errors.ts'
import type { Family, ModelSpec, RopeScaling } from './spec.ts'

const DEFAULT_THETA = 10_000

/** Types of scaling by family; all but one take any that transformers knows. */
const GENERAL_TYPES: readonly string[] = ['default', 'linear', 'llama3']
const PHI3_TYPES: readonly string[] = ['default', 'longrope']
/** Older names that Phi3Config reads as LongRoPE. */
const PHI3_LONGROPE: readonly string[] = ['su', 'yarn']
/** What Phi3Config takes where `original_max_position_embeddings` is missing. */
const PHI3_ORIGINAL = 4096
const PARTIAL = 'partial_rotary_factor'
/** The kernel turns four pairs at a time. */
const ROTARY_STEP = 8

/** Parameters that change the angles whatever the type says. */
const OTHER_MATHS = ['mrope_section', 'mrope_interleaved', 'llama_4_scaling_beta'] as const

export type RopeConfig = Pick<ModelSpec, 'rotaryDim' | 'maxPositions'> & {
  readonly theta: number
  readonly scaling: RopeScaling
}

/**
 * `rope_scaling` wins where both spellings are there, as in transformers. Parameters of other types (a leftover
 * `beta_fast`) are not read there either.
 *
 * LongRoPE has two sets of factors, for contexts up to the original length and for longer ones, and a sequence that grows
 * beyond it would have to turn its keys anew. So a model with LongRoPE has its original length here.
 */
export function readRope(
  fields: ConfigFields,
  family: Family,
  { headDim, maxPositions }: Pick<ModelSpec, 'headDim' | 'maxPositions'>,
): RopeConfig {
  const spelling = ['rope_scaling', 'rope_parameters'].find((field) => {
    const params = fields.object(field, null)
    return params !== null && Object.keys(params.values).length > 0
  })
  const configTheta = fields.positiveNumber('rope_theta', DEFAULT_THETA)
  if (spelling === undefined) {
    const rotaryDim = readRotaryDim(fields, PARTIAL, family, fields.number(PARTIAL, 1), headDim)
    return { theta: configTheta, scaling: { type: 'default' }, rotaryDim, maxPositions }
  }

  const params = fields.object(spelling)
  const refuse = (field: string, value: JsonValue | undefined, supported: string): UnsupportedModelError =>
    new UnsupportedModelError(fields.file, `${spelling}.${field}`, value, supported)
  for (const [field, value] of Object.entries(params.values)) {
    // Newer configs may hold one set of parameters for each type of layer.
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      throw refuse(field, value, 'One set of parameters serves all layers')
  }
  for (const field of OTHER_MATHS) {
    if (params.has(field)) throw refuse(field, params.raw(field), 'It changes the angles')
  }
  const partial = params.number(PARTIAL, fields.number(PARTIAL, 1))
  const rotaryDim = readRotaryDim(fields, `${spelling}.${PARTIAL}`, family, partial, headDim)

  const theta = params.positiveNumber('rope_theta', configTheta)
  const typeField = params.has('rope_type') ? 'rope_type' : 'type'
  const said = params.string(typeField, 'default')
  const type = family === 'phi3' && PHI3_LONGROPE.includes(said) ? 'longrope' : said
  const types = family === 'phi3' ? PHI3_TYPES : GENERAL_TYPES
  if (!types.includes(type)) throw refuse(typeField, said, `Supported: ${types.join(', ')}`)
  const rope = { theta, rotaryDim, maxPositions }
  switch (type) {
    case 'linear':
      return { ...rope, scaling: { type, factor: params.positiveNumber('factor') } }
    case 'llama3':
      return { ...rope, scaling: readLlama3(fields, params, maxPositions) }
    case 'longrope': {
      const original = fields.positiveInteger('original_max_position_embeddings', PHI3_ORIGINAL)
      const scaling = readLongrope(params, { original, maxPositions, rotaryDim })
      return { ...rope, scaling, maxPositions: Math.min(maxPositions, original) }
    }
    default:
      return { ...rope, scaling: { type: 'default' } }
  }
}

/** `field`: what says it. */
function readRotaryDim({ file }: ConfigFields, field: string, family: Family, factor: number, headDim: number): number {
  if (factor === 1) return headDim
  const rotaryDim = Math.trunc(headDim * factor)
  if (family === 'phi3' && rotaryDim > 0 && rotaryDim <= headDim && rotaryDim % ROTARY_STEP === 0) return rotaryDim
  const supported =
    family === 'phi3' ? `It must leave a multiple of ${ROTARY_STEP} of ${headDim} dimensions` : 'Supported: 1'
  throw new UnsupportedModelError(file, field, factor, supported)
}

function readLongrope(
  params: ConfigFields,
  { original, maxPositions, rotaryDim }: { original: number; maxPositions: number; rotaryDim: number },
): RopeScaling {
  const factors = params.raw('short_factor')
  const isFactor = (factor: JsonValue): factor is number => typeof factor === 'number' && factor > 0
  if (!Array.isArray(factors) || !factors.every(isFactor) || factors.length !== rotaryDim / 2) {
    throw params.error('short_factor', `must be ${rotaryDim / 2} numbers above 0`)
  }
  const factor = params.positiveNumber('factor', maxPositions / original)
  const attentionFactor = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original))
  return { type: 'longrope', factors, attentionFactor: params.number('attention_factor', attentionFactor) }
}

function readLlama3(fields: ConfigFields, params: ConfigFields, maxPositions: number): RopeScaling {
  const lowFreqFactor = params.positiveNumber('low_freq_factor')
  const highFreqFactor = params.positiveNumber('high_freq_factor')
  if (highFreqFactor <= lowFreqFactor) throw params.error('high_freq_factor', 'must be above low_freq_factor')
  // Beside the parameters rather than among them, the original length has priority in transformers.
  const original = params.positiveInteger('original_max_position_embeddings', maxPositions)
  return {
    type: 'llama3',
    factor: params.positiveNumber('factor'),
    lowFreqFactor,
    highFreqFactor,
    originalMaxPositions: fields.positiveInteger('original_max_position_embeddings', original),
  }
}
