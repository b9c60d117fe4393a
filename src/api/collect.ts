/** A whole answer out of a run: what streams send piece by piece, gathered per choice. */
import { InvariantError } from '../errors.ts'
import type { StopReason } from './responses.ts'
import type { Run } from './run.ts'
import type { Service } from './service.ts'
import type { PromptLogprobs, TextFinish, TokenRecord } from './textStream.ts'

export interface CollectedChoice {
  readonly text: string
  readonly tokens: readonly TokenRecord[]
  readonly promptLogprobs: PromptLogprobs | null
  readonly finish: TextFinish
}

/** Waits for all `count` choices. @throws what the run throws */
export async function collect(run: Run, count: number): Promise<readonly CollectedChoice[]> {
  const open = Array.from({ length: count }, () => ({
    text: '',
    tokens: [] as TokenRecord[],
    promptLogprobs: null as PromptLogprobs | null,
    finish: null as TextFinish | null,
  }))
  for await (const { index, item } of run.events()) {
    const choice = open[index]!
    if (item.type === 'prompt') choice.promptLogprobs = item.logprobs
    else if (item.type === 'finish') choice.finish = item
    else {
      choice.text += item.text
      choice.tokens.push(...item.tokens)
    }
  }
  return open.map(({ finish, ...choice }) => {
    if (finish === null) throw new InvariantError('A generation ended without a finish event')
    return { ...choice, finish }
  })
}

/** Tokens that were generated, the one that ended it included. */
export function countTokens(numTokens: number, finish: TextFinish | null): number {
  return numTokens + (finish !== null && finish.stopId !== null ? 1 : 0)
}

/** All that was generated: `tokens`, and the one that ended it. */
export function generatedTokens(tokens: readonly TokenRecord[], finish: TextFinish | null): readonly TokenRecord[] {
  if (finish === null || finish.stopId === null) return tokens
  return [...tokens, { token: finish.stopId, logprobs: finish.stopLogprobs }]
}

/** Their ids. */
export function generatedIds(tokens: readonly TokenRecord[], finish: TextFinish | null): number[] {
  return generatedTokens(tokens, finish).map(({ token }) => token)
}

/** vLLM's stop_reason: null for the model's own end of sequence. */
export function stopReason(service: Service, { stopString, stopId }: TextFinish): StopReason {
  return stopString ?? (stopId !== null && service.defaults.eosTokenIds.includes(stopId) ? null : stopId)
}
