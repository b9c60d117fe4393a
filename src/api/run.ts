/** Starts the generations of one request, each with its lease, and ends them all when the client goes. */
import type { Generation } from '../engine/generation.ts'
import { StopStrings } from '../text/stopStrings.ts'
import { ClientGoneError } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { leaseFor } from './lora.ts'
import { type Merged, merge } from './merge.ts'
import type { Plan } from './plan.ts'
import { type TextEvent, textStream } from './textStream.ts'

export interface Prompt {
  readonly tokens: readonly number[]
  /** Most tokens to generate. */
  readonly maxTokens: number
}

/** The running generations of one request: choice `i` belongs to prompt `floor(i / n)`. */
export interface Run {
  /**
   * Prompt tokens that came out of the prefix cache, once all generations have begun: of each prompt's first choice, since
   * the others take over what that one computes and their prompt is counted once.
   */
  readonly cachedTokens: number
  /** The events of all choices as they come. Iterate once. */
  events(): AsyncGenerator<Merged<TextEvent>, void>
  /** Idempotent; pending events settle within one step of the engine. */
  abort(): void
}

/**
 * Either all generations start or none is left running.
 * @throws ModelNotFoundError, ClientGoneError, and what the engine refuses with (queue full, closed).
 */
export async function startRun(
  { service, requestId, signal }: Exchange,
  plan: Plan,
  prompts: readonly Prompt[],
): Promise<Run> {
  const generations: Generation[] = []
  const abort = () => {
    for (const generation of generations) generation.abort()
  }
  // One listener, however many choices there are.
  signal.addEventListener('abort', abort, { once: true })
  try {
    for (const prompt of prompts) {
      for (let choice = 0; choice < plan.n; choice++) {
        generations.push(await start(prompt, choice))
      }
    }
  } catch (error) {
    signal.removeEventListener('abort', abort)
    abort()
    throw error
  }
  return {
    events,
    abort,
    get cachedTokens(): number {
      const first = generations.filter((_, index) => index % plan.n === 0)
      return first.reduce((sum, { cachedTokens = 0 }) => sum + cachedTokens, 0)
    },
  }

  async function start(prompt: Prompt, choice: number): Promise<Generation> {
    const adapter = await leaseFor(service, plan)
    try {
      if (signal.aborted) throw new ClientGoneError()
      return service.engine.generate({
        id: `${requestId}-${generations.length}`,
        prompt: prompt.tokens,
        adapter,
        sampling: { ...plan.sampling, seed: plan.seed === null ? service.randomSeed() : (plan.seed + choice) >>> 0 },
        maxTokens: prompt.maxTokens,
        minTokens: plan.minTokens,
        stopIds: plan.stopIds,
        topLogprobs: plan.topLogprobs,
        promptLogprobs: plan.promptLogprobs,
        signal: null,
      })
    } catch (error) {
      // A generation that never began cannot give its lease back.
      adapter?.release()
      throw error
    }
  }

  async function* events(): AsyncGenerator<Merged<TextEvent>, void> {
    try {
      yield* merge(
        generations.map((generation, index) =>
          textStream(generation, {
            detokenizer: service.tokenizer.detokenizer({
              skipSpecialTokens: plan.skipSpecialTokens,
              prompt: prompts[Math.floor(index / plan.n)]!.tokens,
            }),
            stops: new StopStrings(plan.stopStrings, { includeStop: plan.keepStop }),
            minTokens: plan.minTokens,
            keepStop: plan.keepStop,
          }),
        ),
      )
    } catch (error) {
      throw signal.aborted ? new ClientGoneError() : error
    } finally {
      signal.removeEventListener('abort', abort)
      abort()
    }
  }
}
