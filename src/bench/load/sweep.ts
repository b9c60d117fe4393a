/**
 * A sweep: every scenario at every number of clients, in rounds. A round goes once through all points, so that a machine
 * that slows down does so for each of them; each point is warmed up before the first.
 */
import type { RequestResult } from './client.ts'
import { figuresOf, type PointFigures, type Run, runClients } from './point.ts'
import { type LoadRequest, makeRequests, type PromptMaker, type Workload } from './requests.ts'

/** What answers: a model in this process, or a server. */
export interface Target {
  ask(request: LoadRequest): Promise<RequestResult>
  readonly prompt: PromptMaker
  /** Counts that only grow, where the target is open to be looked into. */
  counts?(): Readonly<Record<string, number>>
}

/** Whom requests are for. */
export interface Scenario {
  readonly name: string
  readonly target: Target
  /** The base, or adapters; requests pick among them. */
  readonly models: readonly string[]
}

export interface SweepPlan {
  readonly scenarios: readonly Scenario[]
  /** Clients at once, point by point. */
  readonly concurrency: readonly number[]
  readonly workload: Workload
  /** Requests of a round, and before the first one, by number of clients. */
  requests(concurrency: number): number
  warmup(concurrency: number): number
  readonly rounds: number
}

export interface SweepPoint {
  readonly scenario: string
  readonly concurrency: number
  /** Models the requests were spread over. */
  readonly models: number
  /** Before the rounds, and in none of the figures. */
  readonly warmUp: { readonly requests: number; readonly failed: number; readonly seconds: number }
  readonly figures: PointFigures
  /** What happened on the device during the rounds; null where the target cannot be looked into. */
  readonly counts: Readonly<Record<string, number>> | null
}

export interface SweepStep {
  readonly scenario: string
  readonly concurrency: number
  readonly round: number | 'warm-up'
  /** Done before this one, of all. */
  readonly done: number
  readonly total: number
}

/** @param onStep called before each run */
export async function sweep(plan: SweepPlan, onStep: (step: SweepStep) => void = () => {}): Promise<SweepPoint[]> {
  const points = plan.scenarios.flatMap((scenario) =>
    plan.concurrency.map((concurrency) => new Point(plan, scenario, concurrency)),
  )
  const total = points.length * (plan.rounds + 1)
  let done = 0
  for (let round = -1; round < plan.rounds; round++) {
    for (const point of points) {
      onStep({
        scenario: point.scenario.name,
        concurrency: point.concurrency,
        round: round < 0 ? 'warm-up' : round,
        done: done++,
        total,
      })
      if (round < 0) await point.warmUp()
      else await point.measure(round)
    }
  }
  return points.map((point) => point.report())
}

class Point {
  readonly scenario: Scenario
  readonly concurrency: number
  readonly #plan: SweepPlan
  readonly #runs: Run[] = []
  #warmUp: Run = { results: [], seconds: 0 }
  #counts: Record<string, number> | null = null

  constructor(plan: SweepPlan, scenario: Scenario, concurrency: number) {
    this.#plan = plan
    this.scenario = scenario
    this.concurrency = concurrency
  }

  async warmUp(): Promise<void> {
    const count = this.#plan.warmup(this.concurrency)
    if (count > 0) this.#warmUp = await this.#run(count, 'warm-up')
  }

  async measure(round: number): Promise<void> {
    const before = this.scenario.target.counts?.()
    this.#runs.push(await this.#run(this.#plan.requests(this.concurrency), round))
    const after = this.scenario.target.counts?.()
    if (!before || !after) return
    this.#counts ??= {}
    for (const [name, count] of Object.entries(after)) {
      this.#counts[name] = (this.#counts[name] ?? 0) + count - (before[name] ?? 0)
    }
  }

  report(): SweepPoint {
    const { results, seconds } = this.#warmUp
    return {
      scenario: this.scenario.name,
      concurrency: this.concurrency,
      models: this.scenario.models.length,
      warmUp: { requests: results.length, failed: results.filter(({ error }) => error !== null).length, seconds },
      figures: figuresOf(this.#runs),
      counts: this.#counts,
    }
  }

  #run(count: number, round: number | 'warm-up'): Promise<Run> {
    const { name, target, models } = this.scenario
    const place = { scenario: name, concurrency: this.concurrency, round }
    const requests = makeRequests(this.#plan.workload, count, models, target.prompt, place)
    return runClients(requests, this.concurrency, (request) => target.ask(request))
  }
}
