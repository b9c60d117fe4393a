/**
 * Measures candidates while nothing else wants the device, in slices as short as a step, and keeps what is faster than what
 * is used. Each candidate meets the best one so far alone, their timings by turns: so what is found is never half of
 * something, and a start that has little time goes on where the last one stopped. First come the first candidates of all choices, then the
 * second ones: they are listed by what may be expected of them. A start spends BUDGET_MS on timings and
 * COMPILE_BUDGET_MS on compiling, and a little more, since it ends what it has begun.
 *
 * A candidate that computes something wrong is never used. One that takes too long to compile is not used either, since every
 * start would wait for it; but a busy machine compiles slowly, so that what is too long is held against the kernel in use,
 * and only after MOST_ATTEMPTS starts it is final.
 */

import { LorikeetError } from '../../errors.ts'
import type { Capabilities } from '../../gpu/capabilities.ts'
import { ShaderError } from '../../gpu/errors.ts'
import { defaultTuning, type KernelTuning } from '../kernels/tuning.ts'
import { OtherBitsError, type Trial, type Trials, WrongKernelError } from './trials.ts'
import type { Candidate, Tunable } from './tunable.ts'
import { type Finding, type Findings, tunedBy, untried } from './tuningStore.ts'

export interface TunerPort {
  /** Resolves when nothing else wants the device: true, or false when it never will be measured again. */
  rest(): Promise<boolean>
  now(): number
  /** Steps take it from when this resolves. */
  adopt(tuning: KernelTuning): Promise<void>
  /** A candidate that cannot be used, and why. */
  problem(error: LorikeetError): void
  /** A candidate was tried; `all` are the findings so far. */
  found(name: string, finding: Finding, all: Findings): Promise<void>
}

const BUDGET_MS = 300
const COMPILE_BUDGET_MS = 10_000
/** A candidate may always take so long to compile, or so many times as long as the kernel in use did in this process. */
const COMPILE_MS = 2_000
const COMPILE_TIMES = 4
/** Starts at which a candidate may be too slow to compile before it is left for good. */
const MOST_ATTEMPTS = 3
/** Timings of each of two candidates, the first of which only finds out how often to repeat; fewer where they take long. */
const LEAST_ROUNDS = 3
const ROUNDS = 5
const ROUNDS_MS = 75
/** Of one that seems to be better: a machine with other work is fast for a moment now and then. */
const MOST_ROUNDS = 9
/** What it must be better by than the one that is used, and in which share of the rounds it must be. */
const GAIN = 1.03
const WON = 0.75
/** Who is behind by so much after LEAST_ROUNDS has lost. */
const LOST = 1.3

export class Tuner {
  readonly #base: KernelTuning
  readonly #tunables: readonly Tunable[]
  readonly #trials: Trials
  readonly #port: TunerPort
  readonly #budgetMs: number
  #findings: Findings
  #timedMs = 0
  #compiledMs = 0

  /** @param findings of earlier starts: what they tried is not measured again */
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

  /** Until every candidate is tried, a budget is spent, or the port says that it is over. @throws GpuLostError, GpuOutOfMemoryError, PartMissingError */
  async run(): Promise<void> {
    for (const [tunable, candidate] of this.#agenda()) {
      if (this.#timedMs >= this.#budgetMs || this.#compiledMs >= COMPILE_BUDGET_MS) return
      const { name } = tunable
      const before = this.#findings[name] ?? { chosen: tunable.chosen(this.#base), ms: {}, rejected: {}, slow: {} }
      const finding = await this.#compare(tunable, before, candidate)
      if (!finding) return
      this.#findings = { ...this.#findings, [name]: finding }
      await this.#port.found(name, finding, this.#findings)
      if (finding.chosen !== before.chosen) {
        await this.#port.adopt(tunedBy(this.#base, this.#tunables, this.#findings))
      }
    }
  }

  #agenda(): readonly (readonly [Tunable, Candidate])[] {
    const left = this.#tunables.map((each) => [each, untried(each, this.#base, this.#findings[each.name])] as const)
    const most = Math.max(0, ...left.map(([, candidates]) => candidates.length))
    const inTurn = Array.from({ length: most }, (_, turn) =>
      left.flatMap(([tunable, candidates]) => {
        const candidate = candidates[turn]
        return candidate ? [[tunable, candidate] as const] : []
      }),
    ).flat()
    const attempts = ([{ name }, { label }]: readonly [Tunable, Candidate]) => this.#findings[name]?.slow[label] ?? 0
    return inTurn.toSorted((one, other) => attempts(one) - attempts(other))
  }

  /** What is known with `candidate` held against the chosen one; null where the port said that it is over. */
  async #compare(tunable: Tunable, before: Finding, { label }: Candidate): Promise<Finding | null> {
    const open: Trial[] = []
    try {
      // The one that is chosen comes first: the bits of the other must be its bits.
      const used = await this.#prepare(tunable, before, before.chosen)
      if (used === null) return null
      if (typeof used !== 'string') open.push(used)
      const other = await this.#prepare(tunable, before, label)
      if (other === null) return null
      if (typeof other !== 'string') open.push(other)

      const rejected = { ...before.rejected, ...(typeof used === 'string' ? { [before.chosen]: used } : {}) }
      if (typeof other === 'string') return { ...before, rejected: { ...rejected, [label]: other } }
      const longest = Math.max(COMPILE_MS, typeof used === 'string' ? 0 : COMPILE_TIMES * used.compileMs)
      if (other.compileMs > longest) return tooSlow({ ...before, rejected }, label, other.compileMs)

      const { [label]: _, ...slow } = before.slow
      const times = await this.#time(open)
      if (!times) return null
      const [one, two] = times.ms
      if (two === undefined) return { chosen: label, ms: { [label]: one! }, rejected, slow }
      const usedMs = before.ms[before.chosen] ?? one!
      const ms = { ...before.ms, [before.chosen]: usedMs, [label]: (two / one!) * usedMs }
      return { chosen: times.isBetter ? label : before.chosen, ms, rejected, slow }
    } finally {
      for (const trial of open) trial.close()
    }
  }

  /** Why not, where it cannot be used; null where the port said that it is over. */
  async #prepare(tunable: Tunable, { rejected }: Finding, label: string): Promise<Trial | string | null> {
    if (rejected[label] !== undefined) return rejected[label]
    if (!(await this.#port.rest())) return null
    const candidate = tunable.candidates.find((each) => each.label === label)!
    const start = this.#port.now()
    try {
      return await this.#trials.prepare(tunable, candidate)
    } catch (error) {
      // Others are no fault of the candidate: no memory for it now, say.
      const isItsFault = [WrongKernelError, OtherBitsError, ShaderError].some((kind) => error instanceof kind)
      if (!isItsFault || !(error instanceof LorikeetError)) throw error
      this.#port.problem(error)
      return error.message
    } finally {
      this.#compiledMs += this.#port.now() - start
    }
  }

  /** A usual time of each, taken by turns, and whether the second is better; null where the port said that it is over. */
  async #time(
    trials: readonly Trial[],
  ): Promise<{ readonly ms: readonly number[]; readonly isBetter: boolean } | null> {
    const times: number[][] = trials.map(() => [])
    const start = this.#timedMs
    for (let round = 0; round < MOST_ROUNDS; round++) {
      if (round >= LEAST_ROUNDS && isSettled(times, round, this.#timedMs - start)) break
      for (const [i, trial] of trials.entries()) {
        if (!(await this.#port.rest())) return null
        const begin = this.#port.now()
        const taken = await trial.time()
        this.#timedMs += this.#port.now() - begin
        if (round > 0) times[i]!.push(taken)
      }
    }
    const [used = [], other = []] = times
    const won = other.filter((ms, round) => ms < used[round]!).length
    return { ms: times.map(middle), isBetter: isAhead(times) && won >= WON * other.length }
  }
}

function middle(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1]!
}

/** By the shortest of each: what else a machine does makes a time longer, never shorter. */
function isAhead([used, other]: readonly (readonly number[])[]): boolean {
  return other !== undefined && Math.min(...other) * GAIN < Math.min(...used!)
}

/** Nothing would change what is known after so many rounds, or nobody has the time for it. */
function isSettled(times: readonly (readonly number[])[], round: number, spentMs: number): boolean {
  const [used = 0, other = 0] = times.map((each) => Math.min(...each))
  return spentMs > ROUNDS_MS || other > LOST * used || (round >= ROUNDS && !isAhead(times))
}

/** Left for good when it was so at MOST_ATTEMPTS starts. */
function tooSlow(before: Finding, label: string, compileMs: number): Finding {
  const attempts = (before.slow[label] ?? 0) + 1
  if (attempts < MOST_ATTEMPTS) return { ...before, slow: { ...before.slow, [label]: attempts } }
  const { [label]: _, ...slow } = before.slow
  const why = `took ${Math.round(compileMs)} ms to compile, and too long at ${attempts - 1} earlier starts`
  return { ...before, rejected: { ...before.rejected, [label]: why }, slow }
}
