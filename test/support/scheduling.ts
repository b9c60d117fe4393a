/** Drives a scheduler without an engine: what a step brings goes straight into the sequences. */
import { numRowsOf, type StepResult } from '../../src/engine/batch.ts'
import { contextLengthOf } from '../../src/engine/checkRequest.ts'
import type { GenerationRequest } from '../../src/engine/generation.ts'
import type { Plan } from '../../src/engine/plan.ts'
import { Scheduler, type SchedulerOptions } from '../../src/engine/scheduler.ts'
import { type Finish, Sequence } from '../../src/engine/sequence.ts'
import { FakeRunner, type FakeRunnerOptions } from './fakeRunner.ts'
import { request } from './requests.ts'

export interface DriverOptions extends SchedulerOptions {
  /** Steps in flight at once. Default 1: each is settled before the next is planned. */
  readonly depth?: number
}

export class SchedulerDriver {
  readonly runner: FakeRunner
  readonly scheduler: Scheduler
  /** How the sequences ended that have ended. */
  readonly finished: Map<Sequence, Finish> = new Map()
  /** Spans fed by the device, and records that came too late for anybody. */
  numFed = 0
  numSurplus = 0
  readonly #removed = new Set<Sequence>()
  readonly #inFlight: { plan: Plan; result: StepResult }[] = []
  readonly #depth: number

  constructor(runnerOptions: FakeRunnerOptions = {}, { depth = 1, ...options }: DriverOptions = {}) {
    this.runner = new FakeRunner(runnerOptions)
    this.scheduler = new Scheduler(this.runner.limits, options)
    this.#depth = depth
  }

  /** Whether a result is out. */
  get isBusy(): boolean {
    return this.#inFlight.length > 0
  }

  add(overrides: Partial<GenerationRequest> = {}): Sequence {
    const wanted = request(overrides)
    const sequence = new Sequence(wanted, contextLengthOf(this.runner.limits, wanted.adapter))
    this.scheduler.add(sequence)
    return sequence
  }

  /** Takes a sequence out, steps in flight or not. */
  remove(sequence: Sequence): void {
    this.#removed.add(sequence)
    this.scheduler.remove(sequence)
  }

  /** Plans and runs one step, and settles the oldest one if enough are in flight. Null if there was nothing to plan. */
  step(): Plan | null {
    const plan = this.scheduler.plan()
    if (plan) this.#inFlight.push({ plan, result: this.runner.run(plan.batch) })
    this.#checkFeeding(plan)
    if (!plan || this.#inFlight.length >= this.#depth) {
      const oldest = this.#inFlight.shift()
      if (oldest) this.#settle(oldest.plan, oldest.result)
    }
    this.scheduler.checkIntegrity()
    return plan
  }

  /** Steps until nothing is left to run; returns how many. */
  drain(): number {
    const before = this.runner.numSteps
    while (this.step() || this.isBusy) {
      if (this.runner.numSteps - before > 10_000) throw new Error('The scheduler never comes to rest')
    }
    return this.runner.numSteps - before
  }

  #checkFeeding(plan: Plan | null): void {
    for (const [i, { tokens }] of (plan?.batch.spans ?? []).entries()) {
      if (tokens !== null) continue
      this.numFed++
      if (plan!.sequences[i]!.request.awaitsTokens) throw new Error('A sequence runs ahead that must not')
    }
  }

  #settle(plan: Plan, { records }: StepResult): void {
    this.scheduler.confirm(plan)
    let next = 0
    for (const [i, { logits }] of plan.batch.spans.entries()) {
      const sequence = plan.sequences[i]!
      for (const { want } of logits) {
        const { token, logprobs, isVoid = false } = records[next++]!
        if (this.finished.has(sequence) || this.#removed.has(sequence)) {
          this.numSurplus++
          continue
        }
        if (isVoid) throw new Error('A sequence has ended on the device only')
        let finish: Finish | null = null
        if ('sample' in want) finish = sequence.accept(token!)
        else {
          sequence.addPromptScore(token!, logprobs)
          if (sequence.hasPromptScores && sequence.maxTokens === 0) finish = { reason: 'length', stopId: null }
        }
        if (!finish) continue
        this.finished.set(sequence, finish)
        this.scheduler.remove(sequence)
      }
    }
  }
}

/** Rows of each span of a plan, by the id of its request. */
export function rowsOf(plan: Plan | null): Record<string, number> {
  return Object.fromEntries(
    (plan?.sequences ?? []).map(({ request }, i) => [request.id, numRowsOf(plan!.batch.spans[i]!)]),
  )
}
