/** Rotary embedding parameters of a config.json, in the older and the newer spelling. */
import type { ConfigFields } from '../weights/config.ts'
import type { JsonValue } from '../weights/json.ts'
import { UnsupportedModelError } from './errors.ts'
import type { RopeScaling } from './spec.ts'

const DEFAULT_THETA = 10_000
const SUPPORTED = 'Supported: default, linear, llama3'

/** Parameters that change the angles whatever the type says. */
const OTHER_MATHS = ['mrope_section', 'mrope_interleaved', 'llama_4_scaling_beta'] as const

/**
 * `rope_scaling` wins where both spellings are there, as in transformers. Parameters of other types (a leftover
 * `beta_fast`) are not read there either.
 */
export function readRope(fields: ConfigFields, maxPositions: number): { theta: number; scaling: RopeScaling } {
  const spelling = ['rope_scaling', 'rope_parameters'].find((field) => {
    const params = fields.object(field, null)
    return params !== null && Object.keys(params.values).length > 0
  })
  const configTheta = fields.positiveNumber('rope_theta', DEFAULT_THETA)
  if (spelling === undefined) return { theta: configTheta, scaling: { type: 'default' } }

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
  const partial = params.number('partial_rotary_factor', 1)
  if (partial !== 1) throw refuse('partial_rotary_factor', partial, 'Supported: 1')

  const theta = params.positiveNumber('rope_theta', configTheta)
  const typeField = params.has('rope_type') ? 'rope_type' : 'type'
  const type = params.string(typeField, 'default')
  switch (type) {
    case 'default':
      return { theta, scaling: { type } }
    case 'linear':
      return { theta, scaling: { type, factor: params.positiveNumber('factor') } }
    case 'llama3':
      return { theta, scaling: readLlama3(fields, params, maxPositions) }
    default:
      throw refuse(typeField, type, SUPPORTED)
  }
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
