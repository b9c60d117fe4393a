/** Drives a scheduler without an engine: what a step brings goes straight into the sequences. */
import type { StepResult } from '../../src/engine/batch.ts'
import type { GenerationRequest } from '../../src/engine/generation.ts'
import type { Plan } from '../../src/engine/plan.ts'
import { Scheduler, type SchedulerOptions } from '../../src/engine/scheduler.ts'
import { type Finish, Sequence } from '../../src/engine/sequence.ts'
import { FakeRunner, type FakeRunnerOptions } from './fakeRunner.ts'
import { request } from './requests.ts'

export class SchedulerDriver {
  readonly runner: FakeRunner
  readonly scheduler: Scheduler
  /** How the sequences ended that have ended. */
  readonly finished: Map<Sequence, Finish> = new Map()

  constructor(runnerOptions: FakeRunnerOptions = {}, options: SchedulerOptions = {}) {
    this.runner = new FakeRunner(runnerOptions)
    this.scheduler = new Scheduler(this.runner.limits, options)
  }

  add(overrides: Partial<GenerationRequest> = {}): Sequence {
    const sequence = new Sequence(request(overrides), this.scheduler.contextLength)
    this.scheduler.add(sequence)
    return sequence
  }

  /** One step, with all checks. Null if there was nothing to run. */
  step(): Plan | null {
    const plan = this.scheduler.plan()
    if (plan) this.#settle(plan, this.runner.run(plan.batch))
    this.scheduler.checkIntegrity()
    return plan
  }

  /** Steps until nothing is left to run; returns how many. */
  drain(): number {
    const before = this.runner.numSteps
    while (this.step()) if (this.runner.numSteps - before > 10_000) throw new Error('The scheduler never comes to rest')
    return this.runner.numSteps - before
  }

  #settle(plan: Plan, { records }: StepResult): void {
    this.scheduler.confirm(plan)
    let next = 0
    for (const [i, { logits }] of plan.batch.spans.entries()) {
      const sequence = plan.sequences[i]!
      for (const { want } of logits) {
        const { token, logprobs } = records[next++]!
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
    (plan?.sequences ?? []).map(({ request }, i) => [request.id, plan!.batch.spans[i]!.tokens.length]),
  )
}
