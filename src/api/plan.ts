/**
 * From a checked request to what the engine is asked for: the request's own values, then the model's
 * `generation_config.json`, then neutral ones. Here are the checks that need the model: lengths, vocabulary, limits.
 */
import type { SamplingParams } from '../engine/batch.ts'
import type { AdapterWeight } from '../lora/composition.ts'
import { ContextLengthError, InvalidRequestError } from './errors.ts'
import type { GenerationParams } from './generationFields.ts'
import { adaptersOf } from './lora.ts'
import { type ResolvedModel, resolveModel } from './models.ts'
import { samplingOf } from './sampling.ts'
import type { Service } from './service.ts'
import { checkVocabulary } from './vocabulary.ts'

/** Generations one request may start: prompts times choices. */
export const MAX_GENERATIONS = 1024

/** Ids that may end a generation, the model's own included: the device keeps them in a small table. */
export const MAX_STOP_IDS = 32

export interface Plan {
  readonly model: ResolvedModel
  /** What is added to the base: nothing, an adapter, or several. */
  readonly adapters: readonly AdapterWeight[]
  /** Choices for each prompt. */
  readonly n: number
  readonly sampling: Omit<SamplingParams, 'seed'>
  /** 32 bits; null draws one for every generation. */
  readonly seed: number | null
  readonly minTokens: number
  /** Model's own ends, unless ignored, and the request's. */
  readonly stopIds: readonly number[]
  readonly stopStrings: readonly string[]
  readonly keepStop: boolean
  readonly skipSpecialTokens: boolean
  /** See GenerationRequest. */
  readonly topLogprobs: number | null
  readonly promptLogprobs: number | null
}

/** Where the two endpoints differ. */
export interface PlanWishes {
  readonly topLogprobs: number | null
  /** The field that asked for them. */
  readonly logprobsParam: 'logprobs' | 'top_logprobs'
  readonly promptLogprobs: number | null
  /** Upper end for min_tokens; null: none was given. */
  readonly maxTokens: number | null
}

/** @throws ModelNotFoundError, InvalidRequestError */
export function makePlan(service: Service, params: GenerationParams, wishes: PlanWishes): Plan {
  const model = resolveModel(service, params.model)
  const minTokens = params.min_tokens ?? 0
  if (wishes.maxTokens !== null && minTokens > wishes.maxTokens) {
    throw new InvalidRequestError(
      `min_tokens must be less than or equal to max_tokens=${wishes.maxTokens}, got ${minTokens}.`,
      'min_tokens',
    )
  }
  if (params.stream_options && !params.stream) {
    throw new InvalidRequestError('Stream options can only be defined when `stream=True`.', 'stream_options')
  }
  checkLogprobs(service, 'sample', wishes.logprobsParam, wishes.topLogprobs)
  checkLogprobs(service, 'prompt', 'prompt_logprobs', wishes.promptLogprobs)
  return {
    model,
    adapters: adaptersOf(service, model, params.lora),
    n: params.n ?? 1,
    sampling: samplingOf(service, params),
    seed: foldSeed(params.seed),
    minTokens,
    stopIds: stopIds(service, params),
    stopStrings: typeof params.stop === 'string' ? [params.stop] : (params.stop ?? []),
    keepStop: params.include_stop_str_in_output ?? false,
    skipSpecialTokens: params.skip_special_tokens ?? true,
    topLogprobs: wishes.topLogprobs,
    promptLogprobs: wishes.promptLogprobs,
  }
}

function stopIds(service: Service, params: GenerationParams): readonly number[] {
  const own = params.stop_token_ids ?? []
  checkVocabulary(service, own, 'stop_token_ids')
  const ids = [...new Set([...(params.ignore_eos ? [] : service.defaults.eosTokenIds), ...own])]
  if (ids.length <= MAX_STOP_IDS) return ids
  throw new InvalidRequestError(
    `stop_token_ids makes ${ids.length} ids that end a generation, the model's own included; at most ${MAX_STOP_IDS} fit.`,
    'stop_token_ids',
  )
}

function checkLogprobs(service: Service, what: 'sample' | 'prompt', param: string, wanted: number | null): void {
  const { maxTopLogprobs } = service.engine.limits
  if (wanted === null || wanted <= maxTopLogprobs) return
  throw new InvalidRequestError(
    `Requested ${what} logprobs of ${wanted}, which is greater than max allowed: ${maxTopLogprobs}`,
    param,
  )
}

/** 64 bits folded to the 32 the sampler takes; what fits 32 bits stays itself. */
export function foldSeed(seed: number | null | undefined): number | null {
  if (seed === null || seed === undefined) return null
  const wide = BigInt.asUintN(64, BigInt(seed))
  return Number((wide ^ (wide >> 32n)) & 0xffff_ffffn)
}

export interface FitWishes {
  /** The field to blame. */
  readonly param: 'messages' | 'prompt'
  /** Tokens the client insists on; null takes what is left. */
  readonly maxTokens: number | null
  readonly truncate: number | null
  /** Which end is cut off. */
  readonly side: 'left' | 'right'
}

/**
 * Refuses a text that cannot fit whatever its tokens are, before time is spent on finding them: a short request would
 * otherwise hold up everybody else's tokens. @throws InvalidRequestError
 */
export function checkTextLength(service: Service, text: string, wishes: FitWishes): void {
  if (wishes.truncate !== null) return
  const { maxModelLen } = service.engine.limits
  const numOutputTokens = wishes.maxTokens ?? 0
  const most = (maxModelLen - numOutputTokens) * service.tokenizer.maxTokenLength
  if (text.length <= most) return
  throw new InvalidRequestError(
    `You passed ${text.length} input characters and requested ${numOutputTokens} output tokens. However, the model's ` +
      `context length is only ${maxModelLen} tokens, resulting in a maximum input length of ` +
      `${maxModelLen - numOutputTokens} tokens (at most ${most} characters). Please reduce the length of the input prompt.`,
    wishes.param,
  )
}

/**
 * A prompt that leaves room for its answer, truncated only if that was asked for.
 * @throws ContextLengthError, InvalidRequestError
 */
export function fitPrompt(service: Service, tokens: readonly number[], wishes: FitWishes): readonly number[] {
  const { maxModelLen } = service.engine.limits
  // Even a prompt that is only scored takes one more position: the engine samples behind it.
  const reserved = Math.max(1, wishes.maxTokens ?? 1)
  const room = maxModelLen - reserved
  let kept = tokens
  if (wishes.truncate !== null) {
    if (wishes.truncate > room) {
      throw new InvalidRequestError(
        `truncate_prompt_tokens=${wishes.truncate} cannot be greater than max_model_len - max_tokens = ${room}. ` +
          'Please request a smaller truncation size.',
        'truncate_prompt_tokens',
      )
    }
    const limit = wishes.truncate === -1 ? Math.max(0, room) : wishes.truncate
    if (tokens.length > limit)
      kept = wishes.side === 'right' ? tokens.slice(0, limit) : tokens.slice(tokens.length - limit)
  }
  if (kept.length > room || kept.length === 0) {
    if (tokens.length === 0) throw new InvalidRequestError(`\`${wishes.param}\` makes no tokens at all.`, wishes.param)
    throw new ContextLengthError(wishes.param, maxModelLen, tokens.length, reserved)
  }
  return kept
}
