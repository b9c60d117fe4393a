/**
 * The step loop. Requests come in at any time; while there is work, one step follows the other: plan, submit, settle.
 * The scheduler decides, the runner computes, and this file only carries things between them and the readers.
 *
 * A step owns what it was planned with until it has run, so sequences leave between steps only: there their blocks are
 * freed and their leases released. Every request ends exactly once, in #end.
 */
import { invariant, LorikeetError } from '../errors.ts'
import type { LogitsRecord, LogitsRow, Runner, StepResult } from './batch.ts'
import { checkRequest, MAX_TOP_LOGPROBS } from './checkRequest.ts'
import { EngineClosedError, EngineUnavailableError, StepFailedError } from './errors.ts'
import type { Generation, GenerationEngine, GenerationRequest } from './generation.ts'
import { LiveGeneration, type LiveGenerationPort } from './liveGeneration.ts'
import { nextTask } from './nextTask.ts'
import type { EngineObserver, StepTrace } from './observer.ts'
import type { Plan } from './plan.ts'
import { Scheduler, type SchedulerOptions } from './scheduler.ts'
import { type Finish, Sequence } from './sequence.ts'

export interface EngineOptions extends SchedulerOptions {
  readonly observer?: EngineObserver
  /** Clock of the observer's times, in ms. Default performance.now. */
  readonly now?: () => number
  /** Checks the books of the KV blocks after every step; for tests and doubt. Default false. */
  readonly checkIntegrity?: boolean
}

export interface EngineStats {
  /** 'failed': a step failed, nothing runs any more. */
  readonly state: 'ready' | 'failed' | 'closed'
  readonly running: number
  readonly waiting: number
  /** Share of the KV blocks in use, 0..1. */
  readonly kvCacheUsage: number
  /** Since the start: steps, token rows computed, preemptions. */
  readonly steps: number
  readonly rows: number
  readonly preemptions: number
  /** Since the start: prompt tokens of admitted requests, those of them out of the prefix cache, tokens generated. */
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly generatedTokens: number
}

export class Engine implements GenerationEngine {
  readonly limits: GenerationEngine['limits']
  readonly #runner: Runner
  readonly #scheduler: Scheduler
  readonly #port: LiveGenerationPort
  readonly #checkIntegrity: boolean
  /** Every request that has not ended. */
  readonly #live = new Map<Sequence, LiveGeneration>()
  /** The loop while it runs, and whether something came that its last look at the work may have missed. */
  #loop: Promise<void> | null = null
  #woken = false
  #failure: LorikeetError | null = null
  #closed = false
  #numSteps = 0
  #numRows = 0
  #numGenerated = 0

  constructor(runner: Runner, options: EngineOptions = {}) {
    this.#runner = runner
    this.#scheduler = new Scheduler(runner.limits, options)
    this.#checkIntegrity = options.checkIntegrity ?? false
    this.#port = {
      observer: options.observer ?? {},
      now: options.now ?? (() => performance.now()),
      wake: () => this.#wake(),
    }
    this.limits = {
      maxModelLen: this.#scheduler.contextLength,
      vocabSize: runner.limits.vocabSize,
      maxTopLogprobs: MAX_TOP_LOGPROBS,
    }
  }

  get state(): EngineStats['state'] {
    if (this.#closed) return 'closed'
    return this.#failure ? 'failed' : 'ready'
  }

  /**
   * Queues a request. Throws at once, and then the adapter's lease stays with the caller: EngineClosedError,
   * EngineUnavailableError, InvalidGenerationError, ContextLengthError, QueueFullError.
   */
  generate(request: GenerationRequest): Generation {
    if (this.#closed) throw new EngineClosedError()
    if (this.#failure) throw new EngineUnavailableError(this.#failure)
    checkRequest(request, this.#runner.limits)

    const sequence = new Sequence(request, this.#scheduler.contextLength)
    if (sequence.numWanted > 0) this.#scheduler.add(sequence)
    const generation = new LiveGeneration(sequence, this.#port)
    this.#live.set(sequence, generation)
    this.#wake()
    return generation
  }

  stats(): EngineStats {
    return {
      state: this.state,
      running: this.#scheduler.numRunning,
      waiting: this.#scheduler.numWaiting,
      kvCacheUsage: this.#scheduler.blocks.usage,
      steps: this.#numSteps,
      rows: this.#numRows,
      preemptions: this.#scheduler.numPreemptions,
      promptTokens: this.#scheduler.numPromptTokens,
      cachedTokens: this.#scheduler.numCachedTokens,
      generatedTokens: this.#numGenerated,
    }
  }

  /** Refuses new requests, waits for the step in flight, then ends every request with EngineClosedError. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#loop
    this.#endAll(new EngineClosedError())
  }

  /** One turn. False if there was nothing to run. */
  async #step(): Promise<boolean> {
    const plannedAt = this.#port.now()
    this.#dismiss() //                        who is gone leaves
    const plan = this.#plan() //              who runs, with how many tokens, in which blocks
    if (plan === null) return false
    const submittedAt = this.#port.now()
    const result = await this.#submit(plan) // the device computes
    const arrivedAt = this.#port.now()
    this.#settle(plan, result) //             tokens go to their readers, the finished leave
    this.#report(plan, { plannedAt, submittedAt, arrivedAt, settledAt: this.#port.now() })
    return true
  }

  #dismiss(): void {
    for (const generation of this.#live.values()) {
      generation.awaitAdapter()
      if (generation.exit) this.#end(generation, generation.exit)
    }
  }

  #plan(): Plan | null {
    const plan = this.#scheduler.plan()
    for (const sequence of plan?.sequences ?? []) this.#generationOf(sequence).run()
    return plan
  }

  async #submit(plan: Plan): Promise<StepResult> {
    const result = await this.#runner.submit(plan.batch)
    const numRecords = result.records.length
    invariant(numRecords === plan.numLogitsRows, `${numRecords} records came for ${plan.numLogitsRows} logits rows`)
    return result
  }

  #settle(plan: Plan, { records }: StepResult): void {
    this.#scheduler.confirm(plan)
    let next = 0
    for (const [index, { logits }] of plan.batch.spans.entries()) {
      const first = next
      next += logits.length
      const generation = this.#generationOf(plan.sequences[index]!)
      if (generation.exit) continue
      const before = generation.sequence.numGenerated
      const outcome = takeAll(generation, logits, records.slice(first, next))
      this.#numGenerated += generation.sequence.numGenerated - before
      if (outcome) this.#end(generation, outcome)
    }
  }

  #report(plan: Plan, times: Pick<StepTrace, 'plannedAt' | 'submittedAt' | 'arrivedAt' | 'settledAt'>): void {
    if (this.#checkIntegrity) this.#scheduler.checkIntegrity()
    const index = this.#numSteps++
    this.#numRows += plan.numRows
    this.#port.observer.step?.({
      index,
      numRows: plan.numRows,
      numSpans: plan.sequences.length,
      numLogitsRows: plan.numLogitsRows,
      numRunning: this.#scheduler.numRunning,
      numWaiting: this.#scheduler.numWaiting,
      ...times,
    })
  }

  /** The only way out: blocks freed, lease released, last event sent. */
  #end(generation: LiveGeneration, outcome: Finish | LorikeetError): void {
    const { sequence } = generation
    this.#live.delete(sequence)
    if (sequence.numWanted > 0) this.#scheduler.remove(sequence)
    sequence.request.adapter?.release()
    generation.end(outcome)
  }

  #endAll(error: LorikeetError): void {
    for (const generation of this.#live.values()) this.#end(generation, error)
  }

  #generationOf(sequence: Sequence): LiveGeneration {
    const generation = this.#live.get(sequence)
    invariant(generation, `A step holds request ${sequence.request.id}, which has ended`)
    return generation
  }

  #wake(): void {
    this.#woken = true
    this.#loop ??= this.#run()
  }

  /** Steps until there is nothing to run. Other tasks have their turn before each step, requests that come together among them. */
  async #run(): Promise<void> {
    try {
      while (this.#woken && this.state === 'ready') {
        this.#woken = false
        do await nextTask()
        while (this.state === 'ready' && (await this.#step()))
      }
    } catch (error) {
      this.#failure = asLorikeetError(error)
      this.#endAll(this.#failure)
    }
    this.#loop = null
  }
}

/** Hands a span's records to its generation, up to the one that ends it, if one does. */
function takeAll(
  generation: LiveGeneration,
  rows: readonly LogitsRow[],
  records: readonly LogitsRecord[],
): Finish | LorikeetError | null {
  for (const [i, row] of rows.entries()) {
    const outcome = generation.take(row, records[i]!)
    if (outcome) return outcome
  }
  return null
}

function asLorikeetError(error: unknown): LorikeetError {
  return error instanceof LorikeetError ? error : new StepFailedError(error)
}
