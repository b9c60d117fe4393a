import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_IN_FLIGHT, type RunnerLimits } from '../../src/engine/batch.ts'
import { contextLengthOf } from '../../src/engine/checkRequest.ts'
import { Engine } from '../../src/engine/engine.ts'
import { EngineClosedError, EngineUnavailableError, StepFailedError } from '../../src/engine/errors.ts'
import type { GenerationEvent, GenerationRequest } from '../../src/engine/generation.ts'
import type { RequestTrace } from '../../src/engine/observer.ts'
import { generateAlone } from '../support/fakeModel.ts'
import { BASE_WEIGHTS, FakeRunner } from '../support/fakeRunner.ts'
import { type FakeLease, type Reading, read } from '../support/requests.ts'
import { type Arrival, arrival, fitting, LAYERS, leaseOf, limits, VOCAB_SIZE } from '../support/scenarios.ts'

const load = fc.record({
  limits,
  arrivals: fc.array(arrival, { minLength: 1, maxLength: 20, size: 'max' }),
  depth: fc.option(fc.integer({ min: 1, max: 8 }), { freq: 6, nil: undefined }),
  latency: fc.nat(6),
  failAtStep: fc.option(fc.nat(60), { freq: 1 }),
  closeAt: fc.option(fc.nat(60), { freq: 1 }),
})
type Scenario = typeof load extends fc.Arbitrary<infer T> ? T : never

interface Client {
  readonly arrival: Arrival
  readonly wanted: GenerationRequest
  readonly lease: FakeLease | null
  readonly reading: Reading
  readonly abort: () => void
}

/** Clients that come and go while the engine's loop runs by itself: about one step a tick. */
class Load {
  readonly engine: Engine
  readonly clients: Client[] = []
  readonly refused: { error: unknown; wasClosed: boolean; lease: FakeLease | null }[] = []
  readonly finished: RequestTrace[] = []
  readonly #scenario: Scenario
  readonly #runner: FakeRunner
  hasFailed = false
  hasClosed = false

  constructor(scenario: Scenario) {
    this.#scenario = scenario
    this.#runner = new FakeRunner({
      limits: scenario.limits,
      layersOf: (slot) => LAYERS[slot],
      latency: scenario.latency,
      maxInFlight: scenario.depth ?? MAX_IN_FLIGHT,
      inFlight: (index) => {
        if (index === scenario.failAtStep) this.hasFailed = true
        if (this.hasFailed) throw new Error('the device is gone')
      },
    })
    const observer = { finished: (trace: RequestTrace) => void this.finished.push(trace) }
    const { depth } = scenario
    this.engine = new Engine(this.#runner, {
      checkIntegrity: true,
      maxPassedOver: 3,
      observer,
      ...(depth === undefined ? {} : { depth }),
    })
  }

  get limits(): RunnerLimits {
    return this.#runner.limits
  }

  get numSteps(): number {
    return this.#runner.numSteps
  }

  async run(): Promise<void> {
    let closing: Promise<void> | null = null
    for (let tick = 0; tick < 5000; tick++) {
      for (const arrival of this.#scenario.arrivals) this.#act(arrival, tick)
      if (tick === this.#scenario.closeAt) {
        this.hasClosed = true
        closing = this.engine.close()
      }
      await new Promise((resolve) => setImmediate(resolve))
      if (tick > 80 && this.clients.every(({ reading }) => reading.hasEnded)) {
        await closing
        return
      }
    }
    throw new Error('A request never ends')
  }

  #act(arrival: Arrival, tick: number): void {
    const { at, adapter, adapterAfter, abortAfter } = arrival
    if (tick === at) this.#send(fitting(arrival, this.#scenario.limits), arrival)
    const client = this.clients.find((one) => one.arrival === arrival)
    if (client && adapter !== null && tick === at + adapterAfter) client.lease!.arrive(adapter)
    if (client && abortAfter !== null && tick === at + abortAfter) client.abort()
  }

  #send({ request, at }: Arrival, arrival: Arrival): void {
    const lease = leaseOf(arrival)
    const client = new AbortController()
    const wanted = { ...request, id: `${this.clients.length}`, adapter: lease, signal: client.signal }
    try {
      const generation = this.engine.generate(wanted)
      const reading = read(generation)
      const abort = at % 2 ? () => client.abort() : () => generation.abort()
      this.clients.push({ arrival, wanted, lease, reading, abort })
    } catch (error) {
      this.refused.push({ error, wasClosed: this.hasClosed, lease })
    }
  }
}

function alone({ wanted, arrival }: Client, limits: RunnerLimits): GenerationEvent[] {
  const contextLength = contextLengthOf(limits, wanted.adapter)
  const weights = arrival.adapter === null ? BASE_WEIGHTS : arrival.adapter + 1
  return generateAlone(wanted, { weights, contextLength, vocabSize: VOCAB_SIZE })
}

function checkAnswer(run: Load, client: Client): void {
  const { events, error } = client.reading
  const whole = alone(client, run.limits)
  const last = events.at(-1)
  if (error !== null) {
    expect(error).toBeInstanceOf(run.hasFailed ? StepFailedError : EngineClosedError)
    expect(events).toEqual(whole.slice(0, events.length))
    expect(last?.type).not.toBe('finish')
  } else if (last?.type === 'finish' && last.reason === 'abort') {
    expect(client.arrival.abortAfter).not.toBeNull()
    expect(events.slice(0, -1)).toEqual(whole.slice(0, events.length - 1))
  } else {
    expect(events).toEqual(whole)
  }
}

describe('an engine under random load', () => {
  it('ends every request once, as if alone, with its lease released once and all blocks free', async () => {
    let numSteps = 0
    await fc.assert(
      fc.asyncProperty(load, async (scenario) => {
        const run = new Load(scenario)
        await run.run()
        for (const client of run.clients) {
          checkAnswer(run, client)
          expect(client.lease?.numReleases ?? 1).toBe(1)
        }
        for (const { error, wasClosed, lease } of run.refused) {
          expect(error).toBeInstanceOf(wasClosed ? EngineClosedError : EngineUnavailableError)
          expect(lease?.numReleases ?? 0).toBe(0)
        }
        expect(run.finished.map(({ id }) => id).toSorted()).toEqual(
          run.clients.map(({ wanted }) => wanted.id).toSorted(),
        )
        expect(run.engine.stats()).toMatchObject({ running: 0, waiting: 0, kvCacheUsage: 0 })
        numSteps += run.numSteps
      }),
      { seed: 4, numRuns: 500 },
    )
    expect(numSteps).toBeGreaterThan(10_000)
  })
})
