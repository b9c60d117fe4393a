import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { contextLengthOf } from '../../src/engine/checkRequest.ts'
import type { Sequence } from '../../src/engine/sequence.ts'
import { generateAlone } from '../support/fakeModel.ts'
import { BASE_WEIGHTS } from '../support/fakeRunner.ts'
import { type FakeLease, tokensOf } from '../support/requests.ts'
import {
  type Arrival,
  arrival,
  fitting,
  LAYERS,
  leaseOf,
  limits,
  NUM_PASSES,
  VOCAB_SIZE,
} from '../support/scenarios.ts'
import { SchedulerDriver } from '../support/scheduling.ts'

const MAX_PASSED_OVER = 3

const load = fc.record({
  limits,
  prefixCache: fc.boolean(),
  depth: fc.integer({ min: 1, max: 8 }),
  arrivals: fc.array(arrival, { minLength: 1, maxLength: 30, size: 'max' }),
})

/** A scheduler under load, with what each step must keep to. FakeRunner watches budgets, blocks and positions. */
class Load {
  readonly driver: SchedulerDriver
  readonly #queue: readonly Arrival[]
  readonly #sequences: { sequence: Sequence; arrival: Arrival; lease: FakeLease | null }[] = []
  readonly #wasAdmitted = new Set<Sequence>()
  readonly #overtaken = new Map<Sequence, number>()
  numSteps = 0
  /** Steps for which several passes had something to compute. */
  numContended = 0

  constructor(scenario: {
    limits: SchedulerDriver['runner']['limits']
    arrivals: readonly Arrival[]
    prefixCache: boolean
    depth: number
  }) {
    this.driver = new SchedulerDriver(
      { limits: scenario.limits, layersOf: (slot) => LAYERS[slot] },
      { maxPassedOver: MAX_PASSED_OVER, prefixCache: scenario.prefixCache, depth: scenario.depth },
    )
    this.#queue = scenario.arrivals.map((one) => fitting(one, scenario.limits))
  }

  run(): void {
    for (let tick = 0; tick < 5000; tick++) {
      this.#arrive(tick)
      this.#abort(tick)
      this.#step()
      if (tick > 80 && this.#live.length === 0 && !this.driver.isBusy) return
    }
    throw new Error('A sequence never ends')
  }

  /** Every sequence that was not aborted has ended, with the tokens and scores it gets alone. */
  checkAnswers(): void {
    for (const { sequence, arrival } of this.#sequences) {
      const { numPrompt, request } = sequence
      const whole = generateAlone(request, {
        weights: arrival.adapter === null ? BASE_WEIGHTS : arrival.adapter + 1,
        contextLength: contextLengthOf(this.driver.runner.limits, request.adapter),
        vocabSize: VOCAB_SIZE,
      })
      const generated = sequence.tokens.slice(numPrompt)
      expect(generated).toEqual(tokensOf(whole).slice(0, generated.length))
      const finish = this.driver.finished.get(sequence)
      if (!finish) continue
      expect(whole.at(-1)).toMatchObject({ type: 'finish', ...finish })
      expect(generated).toEqual(tokensOf(whole))
      if (whole[0]!.type === 'prompt') expect(sequence.promptScores).toEqual(whole[0]!.logprobs)
    }
    expect(this.driver.scheduler.blocks.usage).toBe(0)
  }

  get #live() {
    return this.#sequences.filter(({ sequence }) => !this.#hasLeft(sequence))
  }

  #hasLeft(sequence: Sequence): boolean {
    return this.driver.finished.has(sequence) || this.#aborted.has(sequence)
  }

  readonly #aborted = new Set<Sequence>()

  #arrive(tick: number): void {
    for (const arrival of this.#queue) {
      const { adapter, adapterAfter } = arrival
      if (arrival.at === tick && (arrival.request.maxTokens > 0 || arrival.request.promptLogprobs !== null)) {
        const lease = leaseOf(arrival)
        const wanted = { ...arrival.request, adapter: lease }
        if (wanted.maxTokens === 0 && wanted.prompt.length === 1) continue // nothing to compute: never queued
        this.#sequences.push({ sequence: this.driver.add(wanted), arrival, lease })
      }
      if (arrival.at + adapterAfter !== tick || adapter === null) continue
      this.#sequences.find((one) => one.arrival === arrival)?.lease?.arrive(adapter)
    }
  }

  #abort(tick: number): void {
    for (const { sequence, arrival } of this.#live) {
      if (arrival.abortAfter === null || arrival.at + arrival.abortAfter !== tick) continue
      this.#aborted.add(sequence)
      this.driver.remove(sequence)
    }
  }

  /** Steps in a row in which a pass had something to compute and another had its turn. */
  readonly #waits = new Map<string, number>()

  /** Each pass with something to compute has its turn before another has two. */
  #checkTurns(ready: ReadonlySet<string>, pass: string): void {
    if (ready.size > 1) this.numContended++
    for (const other of this.#waits.keys()) if (!ready.has(other)) this.#waits.delete(other)
    for (const other of ready) {
      const count = other === pass ? 0 : (this.#waits.get(other) ?? 0) + 1
      this.#waits.set(other, count)
      expect(count, 'steps for which a pass waited').toBeLessThan(NUM_PASSES)
    }
  }

  #step(): void {
    const { scheduler, finished } = this.driver
    const wasIdle = scheduler.numRunning === 0
    const wasBusy = this.driver.isBusy
    const waited = this.#live.filter(({ sequence }) => !sequence.isRunning)
    const ready = new Set(
      this.#live.flatMap(({ sequence }) => (sequence.isRunning && sequence.isPlannable ? sequence.pass : [])),
    )
    const plan = this.driver.step()
    if (plan) this.#checkTurns(ready, plan.sequences[0]!.pass)
    if (!plan) {
      if (wasBusy) return
      for (const { sequence } of this.#live) expect(sequence.isResident, 'a sequence that could run waits').toBe(false)
      return
    }
    this.numSteps++
    const admitted = waited.filter(({ sequence }) => sequence.isRunning || plan.sequences.includes(sequence))
    const newcomers = admitted.filter(({ sequence }) => !this.#wasAdmitted.has(sequence))
    for (const { sequence } of admitted) {
      this.#wasAdmitted.add(sequence)
      this.#overtaken.delete(sequence)
    }
    for (const one of waited) {
      if (admitted.includes(one) || finished.has(one.sequence)) continue
      const later = newcomers.some((other) => this.#sequences.indexOf(other) > this.#sequences.indexOf(one))
      if (!later) continue
      const count = (this.#overtaken.get(one.sequence) ?? 0) + 1
      this.#overtaken.set(one.sequence, count)
      if (!wasIdle) expect(count, 'steps in which it was overtaken').toBeLessThanOrEqual(MAX_PASSED_OVER)
    }
  }
}

describe('a scheduler under random load', () => {
  it('answers everyone as if alone, within its budgets, in a fair order, and leaks no block', () => {
    let numSteps = 0
    let numPreemptions = 0
    let numCached = 0
    let numFed = 0
    let numSurplus = 0
    let numContended = 0
    fc.assert(
      fc.property(load, (scenario) => {
        const run = new Load(scenario)
        run.run()
        run.checkAnswers()
        numSteps += run.numSteps
        numPreemptions += run.driver.scheduler.numPreemptions
        numCached += run.driver.scheduler.numCachedTokens
        numFed += run.driver.numFed
        numSurplus += run.driver.numSurplus
        numContended += run.numContended
        if (scenario.depth === 1) expect(run.driver.numFed + run.driver.numSurplus).toBe(0)
        if (!scenario.prefixCache) expect(run.driver.scheduler.numCachedTokens).toBe(0)
      }),
      { seed: 20, numRuns: 600 },
    )
    // A load that never runs short would prove nothing.
    expect(numSteps).toBeGreaterThan(20_000)
    expect(numCached).toBeGreaterThan(1500)
    expect(numPreemptions).toBeGreaterThan(200)
    expect(numFed).toBeGreaterThan(10_000)
    expect(numSurplus).toBeGreaterThan(1000)
    expect(numContended).toBeGreaterThan(1500)
  })
})
