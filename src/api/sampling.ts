/**
 * How a request wants its tokens drawn: its own values, then those of the model's makers, then neutral ones, which are
 * left out where the sampler has them by default.
 */
import type { SamplingParams, TokenBias } from '../engine/batch.ts'
import { InvalidRequestError } from './errors.ts'
import type { GenerationParams } from './generationFields.ts'
import type { Service } from './service.ts'
import { checkVocabulary } from './vocabulary.ts'

/** Below this a temperature means greedy, as in vLLM. */
const GREEDY_BELOW = 1e-5
/** What biases are cut to, as in vLLM. */
const MAX_BIAS = 100

type Sampling = Omit<SamplingParams, 'seed'>

/** @throws InvalidRequestError for ids that the model does not have. */
export function samplingOf(service: Service, params: GenerationParams): Sampling {
  return { ...filters(service, params), ...penalties(service, params), ...changes(service, params) }
}

function filters({ defaults, engine }: Service, params: GenerationParams): Sampling {
  const temperature = params.temperature ?? defaults.temperature ?? 1
  if (temperature < GREEDY_BELOW) return { temperature: 0, topK: 0, topP: 1, minP: 0 }
  const topK = params.top_k ?? defaults.topK ?? 0
  return {
    temperature,
    topK: topK < 1 || topK >= engine.limits.vocabSize ? 0 : topK,
    topP: params.top_p ?? defaults.topP ?? 1,
    minP: params.min_p ?? defaults.minP ?? 0,
  }
}

function penalties({ defaults }: Service, params: GenerationParams): Partial<Sampling> {
  const presencePenalty = params.presence_penalty ?? 0
  const frequencyPenalty = params.frequency_penalty ?? 0
  const repetitionPenalty = params.repetition_penalty ?? defaults.repetitionPenalty ?? 1
  return {
    ...(presencePenalty !== 0 && { presencePenalty }),
    ...(frequencyPenalty !== 0 && { frequencyPenalty }),
    ...(repetitionPenalty !== 1 && { repetitionPenalty }),
  }
}

function changes(service: Service, params: GenerationParams): Partial<Sampling> {
  const logitBias = biases(service, params.logit_bias ?? {})
  const ids = params.allowed_token_ids
  if (ids) checkVocabulary(service, ids, 'allowed_token_ids')
  return {
    ...(logitBias.length > 0 && { logitBias }),
    ...(ids && { allowed: maskOf(ids, service.engine.limits.vocabSize) }),
  }
}

function biases({ engine }: Service, wanted: Readonly<Record<string, number>>): readonly TokenBias[] {
  const { vocabSize } = engine.limits
  const byId = new Map(
    Object.entries(wanted).map(([id, bias]) => [Number(id), Math.max(-MAX_BIAS, Math.min(MAX_BIAS, bias))]),
  )
  const foreign = [...byId.keys()].filter((id) => id >= vocabSize)
  if (foreign.length > 0) {
    throw new InvalidRequestError(
      `token_id(s) [${foreign.join(', ')}] in logit_bias contain out-of-vocab token ids. Vocabulary size: ${vocabSize}`,
      'logit_bias',
    )
  }
  return [...byId].map(([id, bias]) => ({ id, bias })).sort((one, other) => one.id - other.id)
}

/** Bit id % 32 of word id / 32. */
function maskOf(ids: readonly number[], vocabSize: number): Uint32Array {
  const mask = new Uint32Array(Math.ceil(vocabSize / 32))
  for (const id of ids) mask[id >>> 5]! |= 1 << (id & 31)
  return mask
}
