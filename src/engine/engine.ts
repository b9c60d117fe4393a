/**
 * The step loop. Requests come in at any time; while there is work, one step follows the other: plan, submit, settle.
 * The scheduler decides, the runner computes, and this file only carries things between them and the readers.
 *
 * Steps are submitted ahead of their results, as many as Pace says, so that the device always has the next one. With one
 * in flight it is the plain loop: each step is planned when the result of the last is known. What is planned ahead
 * differs in nothing but the time at which a stop or a departure is noticed; the surplus is dropped when it arrives.
 *
 * Sequences leave at any time: the device runs steps in order, so what they leave behind is safe with the next owner.
 * Every request ends exactly once, in #end.
 */
import { invariant, LorikeetError } from '../errors.ts'
import { nextTask } from '../nextTask.ts'
import type { LogitsRecord, LogitsRow, Runner, StepResult } from './batch.ts'
import { checkRequest, contextLengthOf, MAX_TOP_LOGPROBS } from './checkRequest.ts'
import { EchoTimer } from './echoTimer.ts'
import { EngineClosedError, EngineUnavailableError, StepFailedError } from './errors.ts'
import type { Generation, GenerationEngine, GenerationRequest } from './generation.ts'
import { LiveGeneration, type LiveGenerationPort } from './liveGeneration.ts'
import type { EngineObserver, StepTimes, StepTrace } from './observer.ts'
import { Pace } from './pace.ts'
import { type Plan, rowsByAdapter } from './plan.ts'
import { Scheduler, type SchedulerOptions } from './scheduler.ts'
import { type Finish, Sequence } from './sequence.ts'

export interface EngineOptions extends SchedulerOptions {
  readonly observer?: EngineObserver
  /** Clock of the observer's times, in ms. Default performance.now. */
  readonly now?: () => number
  /** Checks the books of the KV blocks after every step; for tests and doubt. Default false. */
  readonly checkIntegrity?: boolean
  /**
   * Steps in flight at once, 1 to 8; with 1 nothing runs ahead. Default: 2, and where the readback takes longer than a
   * step, as many more as keep the device busy.
   */
  readonly depth?: number
}

export interface EngineStats {
  /** 'failed': a step failed, nothing runs any more. */
  readonly state: 'ready' | 'failed' | 'closed'
  readonly running: number
  readonly waiting: number
  /** Share of the KV blocks in use, 0..1. */
  readonly kvCacheUsage: number
  /** KV blocks that are owned, all there are, and tokens in one. */
  readonly usedBlocks: number
  readonly numBlocks: number
  readonly blockSize: number
  /** Since the start: steps, token rows computed, preemptions. */
  readonly steps: number
  readonly rows: number
  readonly preemptions: number
  /** Since the start: prompt tokens of admitted requests, those of them out of the prefix cache, tokens generated. */
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly generatedTokens: number
  /** Steps kept in flight now, and the times in ms that this follows from; null while unknown. */
  readonly depth: number
  readonly stepMs: number | null
  readonly readbackMs: number | null
}

/** A step between its submission and its result. */
interface Flight {
  readonly plan: Plan
  readonly result: Promise<StepResult>
  readonly times: Omit<StepTimes, 'arrivedAt' | 'settlingAt' | 'settledAt'> & { arrivedAt: number }
}

export class Engine implements GenerationEngine {
  readonly limits: GenerationEngine['limits']
  readonly #runner: Runner
  readonly #scheduler: Scheduler
  readonly #port: LiveGenerationPort
  readonly #checkIntegrity: boolean
  /** Every request that has not ended. */
  readonly #live = new Map<Sequence, LiveGeneration>()
  readonly #pace: Pace
  readonly #echoes: EchoTimer
  /** Submitted steps whose results are not settled, the oldest first. */
  readonly #flights: Flight[] = []
  /** The loop while it runs, and whether something came that its last look at the work may have missed. */
  #loop: Promise<void> | null = null
  #woken = false
  /** Ends the loop's wait for a result, if it waits and could submit another step meanwhile. */
  #interrupt: (() => void) | null = null
  /** Times the loop was started. */
  #numRuns = 0
  #failure: LorikeetError | null = null
  #closed = false
  #numSteps = 0
  #numRows = 0
  #numGenerated = 0

  constructor(runner: Runner, options: EngineOptions = {}) {
    this.#runner = runner
    this.#scheduler = new Scheduler(runner.limits, options)
    this.#checkIntegrity = options.checkIntegrity ?? false
    this.#pace = new Pace(options.depth)
    this.#port = {
      observer: options.observer ?? {},
      halves: runner.limits.halves ?? [],
      now: options.now ?? (() => performance.now()),
      wake: () => this.#wake(),
    }
    this.limits = {
      maxModelLen: this.#scheduler.contextLength,
      vocabSize: runner.limits.vocabSize,
      maxTopLogprobs: MAX_TOP_LOGPROBS,
    }
    this.#echoes = new EchoTimer(
      {
        echo: () => runner.echo(),
        now: () => this.#port.now(),
        idlePeriod: () => (this.#loop === null && this.state === 'ready' ? this.#numRuns : null),
      },
      this.#pace,
    )
    this.#echoes.listen()
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

    const sequence = new Sequence(request, contextLengthOf(this.#runner.limits, request.adapter))
    if (sequence.numWanted > 0) this.#scheduler.add(sequence)
    const generation = new LiveGeneration(sequence, this.#port)
    this.#live.set(sequence, generation)
    this.#wake()
    return generation
  }

  stats(): EngineStats {
    const { blocks } = this.#scheduler
    return {
      state: this.state,
      running: this.#scheduler.numRunning,
      waiting: this.#scheduler.numWaiting,
      kvCacheUsage: blocks.usage,
      usedBlocks: blocks.numBlocks - blocks.numFree,
      numBlocks: blocks.numBlocks,
      blockSize: blocks.blockSize,
      steps: this.#numSteps,
      rows: this.#numRows,
      preemptions: this.#scheduler.numPreemptions,
      promptTokens: this.#scheduler.numPromptTokens,
      cachedTokens: this.#scheduler.numCachedTokens,
      generatedTokens: this.#numGenerated,
      depth: this.#pace.depth,
      stepMs: this.#pace.stepMs,
      readbackMs: this.#pace.readbackMs,
    }
  }

  /** Names of the adapters that running requests have, and those that waiting ones do. */
  adaptersAtWork(): { readonly running: readonly string[]; readonly waiting: readonly string[] } {
    const running = new Set<string>()
    const waiting = new Set<string>()
    for (const { request, isRunning } of this.#live.keys()) {
      if (request.adapter) (isRunning ? running : waiting).add(request.adapter.name)
    }
    return { running: [...running], waiting: [...waiting] }
  }

  /** Resolves when nothing runs: true, or false when nothing ever will again. */
  async rest(): Promise<boolean> {
    while (this.#loop) await this.#loop
    return this.state === 'ready'
  }

  /** Refuses new requests, waits for the steps in flight, then ends every request with EngineClosedError. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([this.#loop, this.#echoes.done])
    this.#endAll(new EngineClosedError())
  }

  /** One turn. False if there was nothing to run. */
  async #turn(): Promise<boolean> {
    this.#dismiss() //                              who is gone leaves
    while (this.#flights.length < this.#pace.depth) {
      const plannedAt = this.#port.now()
      const plan = this.#plan() //                  who runs, with how many tokens, in which blocks
      if (plan === null) break
      this.#submit(plan, plannedAt) //              the device computes
    }
    const [oldest] = this.#flights
    if (!oldest) return false
    const result = await this.#resultOf(oldest)
    if (result) {
      this.#flights.shift()
      this.#settle(oldest, result) //               tokens go to their readers, the finished leave
    }
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
    for (const sequence of plan?.sequences ?? []) this.#live.get(sequence)?.run()
    return plan
  }

  #submit(plan: Plan, plannedAt: number): void {
    const submittingAt = this.#port.now()
    const result = this.#runner.submit(plan.batch)
    const times = { plannedAt, submittingAt, submittedAt: this.#port.now(), arrivedAt: Number.NaN }
    const arrived = (): void => {
      times.arrivedAt = this.#port.now()
    }
    result.then(arrived, arrived) // and nobody may be there yet to hear of a failure
    this.#flights.push({ plan, result, times })
  }

  /** The result of the oldest step in flight, or null if something comes first for which there may be another step. */
  async #resultOf({ result }: Flight): Promise<StepResult | null> {
    if (this.#flights.length >= this.#pace.depth) return result
    const interrupted = new Promise<null>((resolve) => {
      this.#interrupt = () => resolve(null)
    })
    try {
      return await Promise.race([result, interrupted])
    } finally {
      this.#interrupt = null
    }
  }

  #settle({ plan, times }: Flight, { records, gpuTime = null }: StepResult): void {
    const numRecords = records.length
    invariant(numRecords === plan.numLogitsRows, `${numRecords} records came for ${plan.numLogitsRows} logits rows`)
    if (this.#pace.isAdaptive) this.#pace.arrived(times.submittedAt, times.arrivedAt)
    const settlingAt = this.#port.now()
    this.#scheduler.confirm(plan)
    let next = 0
    for (const [index, { logits }] of plan.batch.spans.entries()) {
      const first = next
      next += logits.length
      const generation = this.#live.get(plan.sequences[index]!)
      if (!generation || generation.exit) continue // surplus of one that has left, or is about to
      const before = generation.sequence.numGenerated
      const outcome = takeAll(generation, logits, records.slice(first, next))
      this.#numGenerated += generation.sequence.numGenerated - before
      if (outcome) this.#end(generation, outcome)
    }
    this.#report(plan, gpuTime, { ...times, settlingAt, settledAt: this.#port.now() })
  }

  #report(plan: Plan, gpuTime: StepTrace['gpuTime'], times: StepTimes): void {
    if (this.#checkIntegrity) this.#scheduler.checkIntegrity()
    const index = this.#numSteps++
    this.#numRows += plan.numRows
    const { step } = this.#port.observer
    if (!step) return
    const slots = new Set(plan.batch.spans.flatMap(({ slot }) => slot ?? []))
    step.call(this.#port.observer, {
      index,
      numRows: plan.numRows,
      numSpans: plan.sequences.length,
      numLogitsRows: plan.numLogitsRows,
      numSegments: slots.size,
      rows: rowsByAdapter(plan),
      numRunning: this.#scheduler.numRunning,
      numWaiting: this.#scheduler.numWaiting,
      numInFlight: this.#flights.length,
      gpuTime,
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

  #wake(): void {
    this.#woken = true
    this.#interrupt?.()
    this.#loop ??= this.#run()
  }

  /** Turns until there is nothing to run. Other tasks have theirs before each, requests that come together among them. */
  async #run(): Promise<void> {
    this.#numRuns++
    try {
      while (this.#woken && this.state === 'ready') {
        this.#woken = false
        do await nextTask()
        while (this.state === 'ready' && (await this.#turn()))
      }
    } catch (error) {
      this.#failure = asLorikeetError(error)
    }
    if (this.state !== 'ready') await Promise.allSettled(this.#flights.splice(0).map(({ result }) => result))
    if (this.#failure) this.#endAll(this.#failure)
    this.#loop = null
    this.#echoes.listen()
  }
}

/** Hands a span's records to its generation, up to the one that ends it, if one does. */
function takeAll(
  generation: LiveGeneration,
  rows: readonly LogitsRow[],
  records: readonly LogitsRecord[],
): Finish | LorikeetError | null {
  for (const [i, row] of rows.entries()) {
    invariant(!records[i]!.isVoid, `Request ${generation.sequence.request.id} has ended on the device only`)
    const outcome = generation.take(row, records[i]!)
    if (outcome) return outcome
  }
  return null
}

function asLorikeetError(error: unknown): LorikeetError {
  return error instanceof LorikeetError ? error : new StepFailedError(error)
}
