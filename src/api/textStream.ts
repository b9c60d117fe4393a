/**
 * From tokens to text: one generation, detokenized as it comes, cut at a stop string. Text is held back while it could
 * be half a character or the beginning of a stop string, and the tokens it is made of are held back with it.
 */
import type { TokenLogprobs } from '../engine/batch.ts'
import type { Generation, GenerationEvent } from '../engine/generation.ts'
import type { Detokenizer } from '../text/detokenizer.ts'
import type { StopStrings } from '../text/stopStrings.ts'
import { GenerationAbortedError } from './errors.ts'

export interface TokenRecord {
  readonly token: number
  readonly logprobs: TokenLogprobs | null
}

export type PromptLogprobs = Extract<GenerationEvent, { type: 'prompt' }>['logprobs']

export type TextEvent =
  /** At most once, first. */
  | { readonly type: 'prompt'; readonly logprobs: PromptLogprobs }
  /** A piece of text and the tokens that it completes. */
  | { readonly type: 'text'; readonly text: string; readonly tokens: readonly TokenRecord[] }
  /** Always last. */
  | TextFinish

export interface TextFinish {
  readonly type: 'finish'
  readonly reason: 'stop' | 'length'
  /** The stop string that was hit. */
  readonly stopString: string | null
  /** The token that ended it; it is in no text event. */
  readonly stopId: number | null
  /** Of `stopId`, where logprobs were asked for. */
  readonly stopLogprobs: TokenLogprobs | null
}

export interface TextStreamOptions {
  readonly detokenizer: Detokenizer
  readonly stops: StopStrings
  /** Stop strings count only in the text behind this many tokens. */
  readonly minTokens: number
  /** The text keeps the token that ended it. */
  readonly keepStop: boolean
}

/**
 * Iterate once. Leaving early, like a stop string, aborts the generation.
 * @throws GenerationAbortedError if the engine ended it on its own, and whatever the generation throws.
 */
export async function* textStream(generation: Generation, options: TextStreamOptions): AsyncGenerator<TextEvent, void> {
  const { detokenizer, stops } = options
  let numTokens = 0
  let held: TokenRecord[] = []
  const piece = (text: string): TextEvent => {
    const tokens = held
    held = []
    return { type: 'text', text, tokens }
  }
  const hit = (stopString: string): TextFinish => ({
    type: 'finish',
    reason: 'stop',
    stopString,
    stopId: null,
    stopLogprobs: null,
  })
  try {
    for await (const event of generation) {
      if (event.type === 'prompt') {
        yield event
      } else if (event.type === 'token') {
        numTokens++
        held.push({ token: event.token, logprobs: event.logprobs })
        const text = detokenizer.push(event.token)
        const { emit, matched } = numTokens > options.minTokens ? stops.push(text) : { emit: text, matched: null }
        if (matched !== null) {
          yield piece(emit)
          yield hit(matched)
          return
        }
        if (emit !== '') yield piece(emit)
      } else {
        if (event.reason === 'abort') throw new GenerationAbortedError()
        const last = options.keepStop && event.stopId !== null ? detokenizer.push(event.stopId) : ''
        const { emit, matched } = stops.push(last + detokenizer.finish())
        const rest = emit + stops.flush()
        if (rest !== '' || held.length > 0) yield piece(rest)
        const { reason, stopId, stopLogprobs = null } = event
        yield matched === null ? { type: 'finish', reason, stopString: null, stopId, stopLogprobs } : hit(matched)
        return
      }
    }
  } finally {
    generation.abort()
  }
}
