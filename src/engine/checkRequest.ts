/**
 * The last look at a request before it can reach a device: whoever sent it, ids index the embedding and sizes index
 * buffers. The API has checked its own fields before, in its own words.
 */
import { MAX_BANNED } from '../model/adjustment.ts'
import { blockTableRoom, type RunnerLimits } from './batch.ts'
import { checkSampling } from './checkSampling.ts'
import { ContextLengthError, InvalidGenerationError } from './errors.ts'
import type { AdapterLease, GenerationRequest } from './generation.ts'

/** Most of the likeliest tokens that can be reported. */
export const MAX_TOP_LOGPROBS = 20

/** Throws ContextLengthError, or InvalidGenerationError with the field's name as `param`. */
export function checkRequest(request: GenerationRequest, limits: RunnerLimits): void {
  checkValues(request, limits)
  const numTokens = request.prompt.length + (request.maxTokens > 0 ? 1 : 0)
  if (numTokens > contextLengthOf(limits, request.adapter)) {
    throw new ContextLengthError(request.prompt.length, limits.maxModelLen, numKvTokensOf(limits, request.adapter))
  }
}

/** Most tokens that prompt and answer may have together: what the model allows and all KV blocks hold. */
export function contextLengthOf(limits: RunnerLimits, adapter: AdapterLease | null): number {
  return Math.min(limits.maxModelLen, numKvTokensOf(limits, adapter))
}

/** Tokens that all KV blocks hold of a sequence with this adapter, whose layers may take more of them than the base's. */
function numKvTokensOf(limits: RunnerLimits, adapter: AdapterLease | null): number {
  const { numFolds = 1 } = adapter?.layers ?? {}
  // With several blocks for the same tokens, one table must still name them.
  const numBlocks = numFolds === 1 ? limits.numBlocks : Math.min(limits.numBlocks, blockTableRoom(limits))
  return Math.floor(numBlocks / numFolds) * limits.blockSize
}

function checkValues(request: GenerationRequest, { vocabSize }: RunnerLimits): void {
  const { prompt, sampling, maxTokens, minTokens, stopIds, topLogprobs, promptLogprobs } = request
  const mayNotBe = (param: string, value: unknown, wanted: string): never => {
    throw new InvalidGenerationError(param, `${param} is ${wanted}, not ${value}.`)
  }
  const isCount = (value: number, max = Number.MAX_SAFE_INTEGER): boolean =>
    Number.isInteger(value) && value >= 0 && value <= max

  if (prompt.length === 0)
    throw new InvalidGenerationError('prompt', 'The prompt has no tokens; it needs at least one.')
  for (const id of prompt) if (!isCount(id, vocabSize - 1)) mayNotBe('prompt', id, `made of ids below ${vocabSize}`)
  for (const id of stopIds) if (!isCount(id)) mayNotBe('stopIds', id, 'made of token ids')
  if (!isCount(maxTokens)) mayNotBe('maxTokens', maxTokens, 'a whole number from 0')
  if (!isCount(minTokens)) mayNotBe('minTokens', minTokens, 'a whole number from 0')
  for (const [param, count] of Object.entries({ topLogprobs, promptLogprobs })) {
    if (count !== null && !isCount(count, MAX_TOP_LOGPROBS)) mayNotBe(param, count, `0 to ${MAX_TOP_LOGPROBS} or null`)
  }
  checkSampling(sampling, vocabSize)
  const numStopIds = new Set(stopIds).size
  if (minTokens > 0 && numStopIds > MAX_BANNED) {
    mayNotBe('stopIds', `${numStopIds} ids`, `at most ${MAX_BANNED} ids where minTokens is set`)
  }
}
