/**
 * Measures candidates while nothing else wants the device, in slices as short as a step, and keeps what is faster than the
 * default. A start spends at most BUDGET_MS on timings and COMPILE_BUDGET_MS on compiling; what it does not come to waits
 * for the next. A candidate that computes something wrong, or takes too long to compile, is never used.
 */

import { LorikeetError } from '../../errors.ts'
import type { Capabilities } from '../../gpu/capabilities.ts'
import { GpuLostError } from '../../gpu/errors.ts'
import { defaultTuning, type KernelTuning } from '../kernels/tuning.ts'
import type { Trial, Trials } from './trials.ts'
import type { Tunable } from './tunable.ts'
import { type Finding, type Findings, tunedBy } from './tuningStore.ts'

export interface TunerPort {
  /** Resolves when nothing else wants the device: true, or false when it never will be measured again. */
  rest(): Promise<boolean>
  now(): number
  /** Steps take it from when this resolves. */
  adopt(tuning: KernelTuning): Promise<void>
  /** A candidate that cannot be used, and why. */
  problem(error: LorikeetError): void
  /** A choice was made; `all` are those so far. */
  found(name: string, finding: Finding, all: Findings): Promise<void>
}

const BUDGET_MS = 300
const COMPILE_BUDGET_MS = 10_000
/** Longest that one candidate may take to compile and to be checked. */
const COMPILE_MS = 2_000
const ROUNDS = 5
/** What a candidate must be better by than the default, which was chosen with care. */
const GAIN = 1.03

export class Tuner {
  readonly #base: KernelTuning
  readonly #tunables: readonly Tunable[]
  readonly #trials: Trials
  readonly #port: TunerPort
  readonly #budgetMs: number
  #findings: Findings
  #timedMs = 0
  #compiledMs = 0

  /** @param findings of earlier starts, which are not measured again */
  constructor(
    can: Capabilities,
    tunables: readonly Tunable[],
    findings: Findings,
    trials: Trials,
    port: TunerPort,
    budgetMs: number = BUDGET_MS,
  ) {
    this.#budgetMs = budgetMs
    this.#base = defaultTuning(can)
    this.#tunables = tunables
    this.#findings = findings
    this.#trials = trials
    this.#port = port
  }

  get findings(): Findings {
    return this.#findings
  }

  /** Until every choice is made, a budget is spent, or the port says that it is over. @throws GpuLostError */
  async run(): Promise<void> {
    for (const tunable of this.#tunables) {
      if (this.#findings[tunable.name]) continue
      const finding = await this.#choose(tunable)
      if (!finding) return
      this.#findings = { ...this.#findings, [tunable.name]: finding }
      await this.#port.found(tunable.name, finding, this.#findings)
      if (finding.chosen !== tunable.chosen(this.#base)) {
        await this.#port.adopt(tunedBy(this.#base, this.#tunables, this.#findings))
      }
    }
  }

  /** Null: there was no time for it. */
  async #choose(tunable: Tunable): Promise<Finding | null> {
    const rejected: Record<string, string> = {}
    const trials = new Map<string, Trial>()
    const usual = tunable.chosen(this.#base)
    const ordered = tunable.candidates.toSorted((a, b) => Number(b.label === usual) - Number(a.label === usual))
    try {
      for (const candidate of ordered) {
        if (this.#compiledMs >= COMPILE_BUDGET_MS || !(await this.#port.rest())) return null
        const start = this.#port.now()
        try {
          trials.set(candidate.label, await this.#trials.prepare(tunable, candidate))
        } catch (error) {
          if (error instanceof GpuLostError) throw error
          if (!(error instanceof LorikeetError)) throw error
          rejected[candidate.label] = error.message
          this.#port.problem(error)
        }
        const spent = this.#port.now() - start
        this.#compiledMs += spent
        if (spent > COMPILE_MS && candidate.label !== usual) {
          trials.get(candidate.label)?.close()
          trials.delete(candidate.label)
          rejected[candidate.label] ??= `took ${Math.round(spent)} ms to compile`
        }
      }
      const ms = await this.#time(trials)
      return ms && { chosen: fastest(ms, usual), ms, rejected }
    } finally {
      for (const trial of trials.values()) trial.close()
    }
  }

  /** The shortest time of each, by turns; null where the budget does not last for it. */
  async #time(trials: ReadonlyMap<string, Trial>): Promise<Record<string, number> | null> {
    const ms: Record<string, number> = {}
    for (let round = 0; round < ROUNDS; round++) {
      for (const [label, trial] of trials) {
        if (this.#timedMs >= this.#budgetMs || !(await this.#port.rest())) return null
        const start = this.#port.now()
        const taken = await trial.time()
        this.#timedMs += this.#port.now() - start
        if (round > 0) ms[label] = Math.min(ms[label] ?? taken, taken) // the first finds out how often to repeat
      }
    }
    return ms
  }
}

/** The label to use: the usual one, unless another is clearly faster. */
function fastest(ms: Readonly<Record<string, number>>, usual: string): string {
  const [best] = Object.entries(ms).toSorted(([, one], [, other]) => one - other)
  if (!best) return usual
  const [label, time] = best
  return ms[usual] === undefined || time * GAIN < ms[usual] ? label : usual
}
