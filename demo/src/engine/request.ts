/**
 * A question as the API takes it. The page sends exactly what this makes and the snippets show exactly what it sends,
 * so what is on screen can be had again elsewhere.
 */

export interface Turn {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

/**
 * How the model wants to be spoken to. `dialogue`: its chat template marks who says what. `passage`: its template joins
 * everything to one growing text, which it continues. `text`: it has no template.
 */
export type PromptStyle = 'dialogue' | 'passage' | 'text'

/** A part of a blend of adapters. */
export interface BlendPart {
  readonly name: string
  readonly scale: number
}

export interface Ask {
  /** The base or an adapter. */
  readonly model: string
  /** Several adapters at once, in place of one. */
  readonly blend?: readonly BlendPart[]
  readonly style: PromptStyle
  readonly turns: readonly Turn[]
  readonly maxTokens: number
  readonly temperature: number
  readonly seed: number
  /** Of a prompt that is longer, only the last so many tokens are used. */
  readonly mostPromptTokens?: number
}

export interface ApiRequest {
  /** Without the leading slash. */
  readonly path: 'v1/chat/completions' | 'v1/completions'
  readonly body: Readonly<Record<string, unknown>>
}

/** The request without what only concerns how the answer is brought. */
export function requestOf(ask: Ask): ApiRequest {
  const { model, blend, style, turns, maxTokens, temperature, seed, mostPromptTokens } = ask
  const question = style === 'text' ? { prompt: turns.at(-1)?.content ?? '' } : { messages: turns }
  return {
    path: style === 'text' ? 'v1/completions' : 'v1/chat/completions',
    body: {
      model,
      ...(blend && { lora: blend }),
      ...question,
      max_tokens: maxTokens,
      temperature,
      seed,
      ...(mostPromptTokens !== undefined && { truncate_prompt_tokens: mostPromptTokens, truncation_side: 'left' }),
    },
  }
}

/** The same, to be streamed with a count of tokens in every piece. */
export function streamingRequestOf(ask: Ask): ApiRequest {
  const { path, body } = requestOf(ask)
  return {
    path,
    body: { ...body, stream: true, stream_options: { include_usage: true, continuous_usage_stats: true } },
  }
}
