/**
 * An engine of scripted tokens. Tokens are made when they are asked for, so a test sees exactly how far a reader has
 * pulled. Leases are released as the real engine does it, once, when a generation ends; a reader that leaves without a
 * word leaves it running, so that a forgotten abort shows.
 */
import type { TokenLogprobs } from '../../../src/engine/batch.ts'
import type {
  Generation,
  GenerationEngine,
  GenerationEvent,
  GenerationRequest,
} from '../../../src/engine/generation.ts'

/** What a generation says: tokens in order. Ends with `length` at maxTokens, else at the script's end with `stopId`. */
export interface Script {
  readonly tokens: Iterable<number>
  readonly stopId?: number
  /** Thrown in place of the token of this index. */
  readonly failAt?: { readonly index: number; readonly error: Error }
}

export class FakeGeneration implements Generation {
  readonly request: GenerationRequest
  readonly #script: Script
  readonly #gate: () => Promise<void>
  #isAborted = false
  #wake: (() => void) | null = null
  hasEnded = false
  cachedTokens = 0
  /** Tokens handed out. */
  numPulled = 0

  constructor(request: GenerationRequest, script: Script, gate: () => Promise<void>) {
    this.request = request
    this.#script = script
    this.#gate = gate
    request.signal?.addEventListener('abort', () => this.abort())
  }

  get isAborted(): boolean {
    return this.#isAborted
  }

  abort(): void {
    if (this.hasEnded) return
    this.#isAborted = true
    this.#wake?.()
    this.#end()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerationEvent, void> {
    const { request } = this
    const aborted = new Promise<void>((resolve) => {
      this.#wake = resolve
      if (this.#isAborted) resolve()
    })
    const finish = (
      reason: 'stop' | 'length' | 'abort',
      stopId: number | null,
      stopLogprobs: TokenLogprobs | null = null,
    ): GenerationEvent => {
      this.#end()
      return { type: 'finish', reason, stopId, ...(stopLogprobs && { stopLogprobs }) }
    }
    if (request.promptLogprobs !== null) {
      const count = request.promptLogprobs
      yield {
        type: 'prompt',
        logprobs: request.prompt.map((token, i) =>
          i === 0 ? null : { token, logprobs: fakeLogprobs(token, count, i) },
        ),
      }
    }
    const tokens = this.#script.tokens[Symbol.iterator]()
    for (let i = 0; i < request.maxTokens; i++) {
      await Promise.race([this.#gate(), aborted])
      if (this.#isAborted) {
        yield finish('abort', null)
        return
      }
      if (this.#script.failAt?.index === i) {
        this.#end()
        throw this.#script.failAt.error
      }
      const { done, value: token } = tokens.next()
      if (done) {
        const stopId = this.#script.stopId ?? request.stopIds[0] ?? 0
        yield finish('stop', stopId, request.topLogprobs === null ? null : fakeLogprobs(stopId, request.topLogprobs, i))
        return
      }
      this.numPulled++
      const { topLogprobs } = request
      yield { type: 'token', token, logprobs: topLogprobs === null ? null : fakeLogprobs(token, topLogprobs, i) }
    }
    yield finish('length', null)
  }

  #end(): void {
    if (this.hasEnded) return
    this.hasEnded = true
    this.request.adapter?.release()
  }
}

export class FakeEngine implements GenerationEngine {
  limits: GenerationEngine['limits'] = { maxModelLen: 256, vocabSize: 512, maxTopLogprobs: 20 }
  readonly generations: FakeGeneration[] = []
  state: 'ready' | 'failed' | 'closed' = 'ready'
  script: (request: GenerationRequest) => Script = () => ({ tokens: [] })
  /** Awaited before every token. */
  gate: () => Promise<void> = async () => {}
  /** What generate throws, by the number of the generation. */
  refuse: (index: number) => Error | null = () => null

  /** Prompt tokens out of the prefix cache, by the number of the generation. */
  cachedTokens: (index: number) => number = () => 0

  generate(request: GenerationRequest): Generation {
    const refusal = this.refuse(this.generations.length)
    if (refusal) throw refusal
    const generation = new FakeGeneration(request, this.script(request), this.gate)
    generation.cachedTokens = this.cachedTokens(this.generations.length)
    this.generations.push(generation)
    return generation
  }

  get running(): readonly FakeGeneration[] {
    return this.generations.filter(({ hasEnded }) => !hasEnded)
  }

  /** The request of the newest generation. */
  get lastRequest(): GenerationRequest {
    return this.generations.at(-1)!.request
  }

  stats(): ReturnType<GenerationEngine['stats']> {
    return { state: this.state, running: this.running.length, waiting: 0, kvCacheUsage: 0 }
  }

  async close(): Promise<void> {
    this.state = 'closed'
  }
}

/** Depends on the token and its place alone. */
export function fakeLogprobs(token: number, count: number, place: number): TokenLogprobs {
  return {
    logprob: -(1 + (token % 7)) / 4,
    rank: 1 + (token % 3),
    top: Array.from({ length: count }, (_, i) => ({ token: (token + i + place) % 256, logprob: -(i + 1) / 8 })),
  }
}
