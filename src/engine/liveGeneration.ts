/** The reader's end of one sequence: turns what its steps bring into events, and knows whether it should leave. */
import { LorikeetError } from '../errors.ts'
import type { LogitsRecord, LogitsRow, TokenLogprobs } from './batch.ts'
import { InvalidLogitsError, StepFailedError } from './errors.ts'
import { EventQueue } from './eventQueue.ts'
import type { Generation, GenerationEvent } from './generation.ts'
import type { EngineObserver, RequestTrace } from './observer.ts'
import type { Finish, Sequence } from './sequence.ts'

/** What a generation shares with its engine. */
export interface LiveGenerationPort {
  readonly observer: EngineObserver
  /** See RunnerLimits. */
  readonly halves: readonly string[]
  now(): number
  /** Called when `exit` may have changed from outside the loop. */
  wake(): void
}

export class LiveGeneration implements Generation {
  readonly sequence: Sequence
  readonly #port: LiveGenerationPort
  readonly #events: EventQueue<GenerationEvent>
  /** What observers see of it, kept up to date. */
  readonly #trace: { -readonly [Field in keyof RequestTrace]: RequestTrace[Field] }
  /** Of the token that ended it. */
  #stopLogprobs: TokenLogprobs | null = null
  #exit: Finish | LorikeetError | null = null
  /** The arrival of its adapter that is waited for. */
  #arrival: Promise<void> | undefined
  readonly #abort = (): void => this.abort()

  constructor(sequence: Sequence, port: LiveGenerationPort) {
    this.sequence = sequence
    this.#port = port
    const { request, numPrompt } = sequence
    this.#trace = {
      id: request.id,
      adapter: request.adapter?.name ?? null,
      numPromptTokens: numPrompt,
      numCachedTokens: 0,
      numGeneratedTokens: 0,
      queuedAt: port.now(),
      admittedAt: null,
      firstTokenAt: null,
      lastTokenAt: null,
      finishedAt: null,
      outcome: null,
    }
    this.#events = new EventQueue(this.#abort)
    const { signal } = request
    if (signal?.aborted) this.#exit = ABORTED
    signal?.addEventListener('abort', this.#abort)
    if (sequence.scoresPrompt && sequence.hasPromptScores) this.#pushPromptScores()
    port.observer.queued?.(this.#trace)
  }

  /** How it must leave between two steps, or null if it stays. From then on no token reaches the reader. */
  get exit(): Finish | LorikeetError | null {
    if (this.#exit === null && this.sequence.numWanted === 0) return { reason: 'length', stopId: null }
    return this.#exit
  }

  get cachedTokens(): number {
    return this.sequence.numCached ?? 0
  }

  abort(): void {
    this.leave(ABORTED)
  }

  /** Asks the engine to end it so at its next turn; the first wish counts. */
  leave(exit: Finish | LorikeetError): void {
    if (this.#exit !== null || this.#trace.outcome !== null) return
    this.#exit = exit
    this.#port.wake()
  }

  [Symbol.asyncIterator](): AsyncIterator<GenerationEvent> {
    return this.#events[Symbol.asyncIterator]()
  }

  /**
   * Looks after an adapter that is on its way, or was evicted while the sequence waits: its arrival wakes the engine,
   * its failure ends the generation.
   */
  awaitAdapter(): void {
    const { adapter } = this.sequence
    if (adapter?.slot !== null || adapter.ready === this.#arrival) return
    this.#arrival = adapter.ready
    this.#arrival?.then(
      () => this.#port.wake(),
      (error) => this.leave(error instanceof LorikeetError ? error : new StepFailedError(error)),
    )
  }

  /** A step with a span of it has been planned. */
  run(): void {
    if (this.#trace.admittedAt !== null) return
    this.#trace.admittedAt = this.#port.now()
    this.#trace.numCachedTokens = this.cachedTokens
    this.#port.observer.admitted?.(this.#trace)
  }

  /** Takes what came of one logits row and says how the generation ends with it, or null if it goes on. */
  take({ want }: LogitsRow, { token, logprobs }: LogitsRecord): Finish | LorikeetError | null {
    const { promptScores, request } = this.sequence
    if (token === null) {
      const position = 'score' in want ? promptScores.length : want.position
      return new InvalidLogitsError(position, request.adapter?.name ?? null, this.#port.halves)
    }
    if ('score' in want) {
      this.sequence.addPromptScore(token, logprobs)
      if (!this.sequence.hasPromptScores) return null
      this.#pushPromptScores()
      return this.sequence.maxTokens > 0 ? null : { reason: 'length', stopId: null }
    }
    const finish = this.sequence.accept(token)
    if (finish?.reason === 'stop') this.#stopLogprobs = logprobs
    else this.#pushToken(token, logprobs)
    return finish
  }

  /** Ends it with a finish event, or by throwing an error to the reader. */
  end(outcome: Finish | LorikeetError): void {
    this.sequence.request.signal?.removeEventListener('abort', this.#abort)
    this.#trace.finishedAt = this.#port.now()
    if (outcome instanceof Error) {
      this.#trace.outcome = 'error'
      this.#events.end(outcome)
    } else {
      this.#trace.outcome = outcome.reason
      const stopLogprobs = outcome.reason === 'stop' ? this.#stopLogprobs : null
      this.#events.push({ type: 'finish', ...outcome, ...(stopLogprobs && { stopLogprobs }) })
      this.#events.end()
    }
    this.#port.observer.finished?.(this.#trace)
  }

  #pushPromptScores(): void {
    this.#events.push({ type: 'prompt', logprobs: this.sequence.promptScores })
  }

  #pushToken(token: number, logprobs: TokenLogprobs | null): void {
    this.#events.push({ type: 'token', token, logprobs })
    const trace = this.#trace
    const now = this.#port.now()
    const sinceLast = trace.lastTokenAt === null ? null : now - trace.lastTokenAt
    trace.firstTokenAt ??= now
    trace.lastTokenAt = now
    trace.numGeneratedTokens = this.sequence.numGenerated
    this.#port.observer.token?.(trace, sinceLast)
  }
}

const ABORTED: Finish = { reason: 'abort', stopId: null }
