/**
 * What goes out, as types: OpenAI's shapes with vLLM's additions. A type test holds them against the `openai` package,
 * which is no dependency of the library itself.
 */
export interface Usage {
  readonly prompt_tokens: number
  /** Generated tokens, the one that ended the generation included. */
  readonly completion_tokens: number
  readonly total_tokens: number
  /** Prompt tokens that others had computed before. */
  readonly prompt_tokens_details: { readonly cached_tokens: number }
}

export type FinishReason = 'stop' | 'length'

/** vLLM: the stop string or stop token id that ended it; null for the model's own end and for length. */
export type StopReason = string | number | null

export interface ChatTopLogprob {
  token: string
  logprob: number
  bytes: number[] | null
}

export interface ChatTokenLogprob extends ChatTopLogprob {
  top_logprobs: ChatTopLogprob[]
}

export interface ChatLogprobs {
  content: ChatTokenLogprob[]
  refusal: null
}

/** One entry per prompt token: null for the first, else a map from token id to what is known of it. */
export type PromptLogprobsJson = (Record<string, { logprob: number; rank: number; decoded_token: string }> | null)[]

export interface ChatChoice {
  index: number
  message: { role: 'assistant'; content: string; refusal: null }
  logprobs: ChatLogprobs | null
  finish_reason: FinishReason
  stop_reason: StopReason
  token_ids?: number[]
}

export interface ChatCompletion {
  id: string
  object: 'chat.completion'
  created: number
  model: string
  choices: ChatChoice[]
  usage: Usage
  system_fingerprint: string
  prompt_logprobs?: PromptLogprobsJson
  prompt_token_ids?: number[]
}

export interface ChatChunkChoice {
  index: number
  delta: { role?: 'assistant'; content?: string }
  logprobs: ChatLogprobs | null
  finish_reason: FinishReason | null
  stop_reason?: StopReason
  token_ids?: number[]
}

export interface ChatCompletionChunk {
  id: string
  object: 'chat.completion.chunk'
  created: number
  model: string
  choices: ChatChunkChoice[]
  system_fingerprint: string
  usage?: Usage | null
  prompt_token_ids?: number[]
}

export interface CompletionLogprobs {
  tokens: string[]
  token_logprobs: (number | null)[]
  top_logprobs: (Record<string, number> | null)[]
  /** In characters (code points) from the start of the choice's text. */
  text_offset: number[]
}

export interface CompletionChoice {
  index: number
  text: string
  logprobs: CompletionLogprobs | null
  finish_reason: FinishReason | null
  stop_reason?: StopReason
  token_ids?: number[]
  prompt_token_ids?: number[]
  prompt_logprobs?: PromptLogprobsJson
}

/** A whole answer and, in a stream, each of its chunks. */
export interface Completion {
  id: string
  object: 'text_completion'
  created: number
  model: string
  choices: CompletionChoice[]
  system_fingerprint: string
  usage?: Usage | null
}
