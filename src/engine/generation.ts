import type { LayerList } from '../model/layerList.ts'
import type { SamplingParams, TokenLogprobs } from './batch.ts'

/** What the engine is asked for: tokens in, tokens out. Text, stop strings and templates are the caller's business. */
export interface GenerationRequest {
  /** For logs and traces. */
  readonly id: string
  /** Prompt token ids, at least one; prompt.length + 1 <= maxModelLen, ids below vocabSize. */
  readonly prompt: readonly number[]
  /** Lease on the adapter to use (the engine releases it when the generation ends), or null for the base. */
  readonly adapter: AdapterLease | null
  readonly sampling: SamplingParams
  /** Most tokens to generate; 0 only scores the prompt. Cut to what fits maxModelLen. */
  readonly maxTokens: number
  /** Fewer than this many tokens: stopIds are not sampled. */
  readonly minTokens: number
  /** Token ids that end the generation: end-of-sequence ids (unless ignored) and the caller's stop_token_ids. */
  readonly stopIds: readonly number[]
  /** Likeliest tokens to report per generated token (0..20), or null for no logprobs. */
  readonly topLogprobs: number | null
  /** The same per prompt token (the first one has none), or null. */
  readonly promptLogprobs: number | null
  /** Client gone: the sequence leaves at the next step. */
  readonly signal: AbortSignal | null
  /**
   * Each token is drawn only when those before it are known here, because they decide what may be drawn. Such a sequence
   * sits out the steps that run ahead; the others do not wait for it. Default false.
   */
  readonly awaitsTokens?: boolean
}

/**
 * Holds one version of an adapter. Its bytes stay in host memory and start for the GPU at once; the place on the GPU is
 * only safe while it is pinned, which it is while its sequence runs.
 */
export interface AdapterLease {
  readonly name: string
  readonly digest: string
  /** Tokens from whose last occurrence in the prompt on it works; null or missing: it always does. */
  readonly invocation?: readonly number[] | null
  /** The layers it runs; null or missing: the base's. */
  readonly layers?: LayerList | null
  /** Pool slot if the adapter is on the GPU now, else null (it is on its way; the sequence is passed over). */
  readonly slot: number | null
  /** Where slot is null: whether its bytes are still being read, so that it could not use a place on the GPU. */
  readonly isRead?: boolean
  /** Where slot is null: resolves when it is not any more, rejects with a LorikeetError if the adapter cannot come. */
  readonly ready?: Promise<void>
  /** Keeps the adapter in its slot, which must not be null. Called when the sequence is admitted. */
  pin(): void
  /** Called when the sequence is preempted or ends. */
  unpin(): void
  release(): void
}

export type GenerationEvent =
  /** Once, before the first token, if promptLogprobs was asked: one entry per prompt token, null for the first. */
  | {
      readonly type: 'prompt'
      readonly logprobs: readonly ({ readonly token: number; readonly logprobs: TokenLogprobs } | null)[]
    }
  | { readonly type: 'token'; readonly token: number; readonly logprobs: TokenLogprobs | null }
  /** Always last. `stopId`: the token that ended it (it is in no token event); `stopLogprobs`: its own, where asked for. */
  | {
      readonly type: 'finish'
      readonly reason: 'stop' | 'length' | 'abort'
      readonly stopId: number | null
      readonly stopLogprobs?: TokenLogprobs
    }

/** A running generation. Iterate once; a failure (device lost, engine closed) is thrown as a LorikeetError. */
export interface Generation extends AsyncIterable<GenerationEvent> {
  /** Prompt tokens that came out of the prefix cache; 0 while it waits. */
  readonly cachedTokens?: number
  /** Ends it early (client gone, stop string seen): blocks are freed at the next step. Idempotent. */
  abort(): void
}

/** The engine as api/ sees it. */
export interface GenerationEngine {
  readonly limits: { readonly maxModelLen: number; readonly vocabSize: number; readonly maxTopLogprobs: number }
  /**
   * Throws at once, leaving the lease to the caller: QueueFullError (429), EngineClosedError or EngineUnavailableError
   * (503), ContextLengthError or InvalidGenerationError (400). Everything later comes through the generation.
   */
  generate(request: GenerationRequest): Generation
  /** `state`: 'failed' once a step failed; then and when closed nothing runs any more. */
  stats(): {
    readonly state: 'ready' | 'failed' | 'closed'
    readonly running: number
    readonly waiting: number
    readonly kvCacheUsage: number
  }
  close(): Promise<void>
}
