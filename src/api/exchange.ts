/** What one request carries through the API besides its body, and the parts every answer shares. */
import type { Plan } from './plan.ts'
import type { Usage } from './responses.ts'
import type { Service } from './service.ts'

export interface Exchange {
  readonly service: Service
  /** The client's own or a made one; answers are named after it. */
  readonly requestId: string
  /** Fires when the client goes away. */
  readonly signal: AbortSignal
}

export interface AnswerHead {
  readonly id: string
  /** Unix time in seconds. */
  readonly created: number
  /** The name the client used. */
  readonly model: string
  readonly system_fingerprint: string
}

/** `prefix` is `chatcmpl` or `cmpl`. */
export function answerHead({ service, requestId }: Exchange, prefix: string, plan: Plan): AnswerHead {
  return {
    id: `${prefix}-${requestId}`,
    created: Math.floor(Date.now() / 1000),
    model: plan.model.name,
    system_fingerprint: `lorikeet-${service.version}`,
  }
}

/** `numCachedTokens`: prompt tokens that came out of the prefix cache. */
export function usageOf(numPromptTokens: number, numCompletionTokens: number, numCachedTokens: number): Usage {
  return {
    prompt_tokens: numPromptTokens,
    completion_tokens: numCompletionTokens,
    total_tokens: numPromptTokens + numCompletionTokens,
    prompt_tokens_details: { cached_tokens: numCachedTokens },
  }
}
