/**
 * A "language model" of hashes that stands in for the GPU in tests of the engine. What it stores per token depends, as
 * keys and values do, on the weights, the position, the token, and everything before it; what it says next depends on
 * all that is stored. So one token computed at a wrong place, with wrong weights, or over a wrong past changes all
 * tokens that follow.
 */
import type { LogitsRecord, SampleWanted, TokenLogprobs } from '../../src/engine/batch.ts'
import type { GenerationEvent, GenerationRequest } from '../../src/engine/generation.ts'

/** Mixes numbers into 32 bits. */
export function hash(...values: readonly number[]): number {
  let state = 0x9e3779b9
  for (const value of values) {
    state = Math.imul(state ^ value, 0x85ebca6b)
    state = Math.imul(state ^ (state >>> 15), 0xc2b2ae35)
    state ^= state >>> 13
  }
  return state >>> 0
}

/** State before the first token. */
export const EMPTY = 1

/** What one token leaves in the KV cache, given the state of all before it. */
export function cellOf(weights: number, position: number, token: number, past: number): number {
  return hash(weights, position, token, past)
}

/** State after a cell. The logits of a token's row are a function of the state after its cell. */
export function after(past: number, cell: number): number {
  return hash(past, cell)
}

interface Drawn extends LogitsRecord {
  readonly token: number
}

export function sample(state: number, want: SampleWanted, topLogprobs: number | null, vocabSize: number): Drawn {
  const { temperature, seed } = want.sample
  let token = (temperature === 0 ? state : hash(state, seed, want.position)) % vocabSize
  while (want.banned.includes(token)) token = (token + 1) % vocabSize
  return { token, logprobs: topLogprobs === null ? null : logprobsOf(state, token, topLogprobs, vocabSize) }
}

export function logprobsOf(state: number, token: number, count: number, vocabSize: number): TokenLogprobs {
  const logprob = (id: number): number => -(hash(state, id) % 1000) / 100
  const top = Array.from({ length: count }, (_, i) => (state + i) % vocabSize)
  return {
    logprob: logprob(token),
    rank: 1 + (hash(state, token, 7) % vocabSize),
    top: top.map((id) => ({ token: id, logprob: logprob(id) })),
  }
}

/** What the request must bring if nobody aborts it: the model run alone, token by token, without any cache. */
export function generateAlone(
  request: GenerationRequest,
  { weights, contextLength, vocabSize }: { weights: number; contextLength: number; vocabSize: number },
): GenerationEvent[] {
  const { prompt, promptLogprobs, topLogprobs } = request
  const events: GenerationEvent[] = []
  let past = EMPTY
  const compute = (token: number, position: number): void => {
    past = after(past, cellOf(weights, position, token, past))
  }

  const scores: Extract<GenerationEvent, { type: 'prompt' }>['logprobs'][number][] = []
  prompt.forEach((token, position) => {
    const known = position > 0 && promptLogprobs !== null
    scores.push(known ? { token, logprobs: logprobsOf(past, token, promptLogprobs, vocabSize) } : null)
    compute(token, position)
  })
  if (promptLogprobs !== null) events.push({ type: 'prompt', logprobs: scores })

  const maxTokens = Math.min(request.maxTokens, contextLength - prompt.length)
  for (let n = 0; n < maxTokens; n++) {
    const position = prompt.length + n
    const banned = n < request.minTokens ? request.stopIds : []
    const { token, logprobs } = sample(past, { sample: request.sampling, position, banned }, topLogprobs, vocabSize)
    if (request.stopIds.includes(token)) {
      return [...events, { type: 'finish', reason: 'stop', stopId: token, ...(logprobs && { stopLogprobs: logprobs }) }]
    }
    events.push({ type: 'token', token, logprobs })
    compute(token, position)
  }
  return [...events, { type: 'finish', reason: 'length', stopId: null }]
}
