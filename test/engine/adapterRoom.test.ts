/** Engine, residency and a pool too small for all adapters at once: everybody's turn comes, whoever else keeps asking. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Engine } from '../../src/engine/engine.ts'
import type { Generation, GenerationRequest } from '../../src/engine/generation.ts'
import type { EngineObserver, RequestTrace } from '../../src/engine/observer.ts'
import { FakeAdapters, type RoomOptions } from '../support/adapterRoom.ts'
import { generateAlone } from '../support/fakeModel.ts'
import { BASE_WEIGHTS, FakeRunner } from '../support/fakeRunner.ts'
import { type Reading, read, request } from '../support/requests.ts'

const MAX_PASSED_OVER = 4

/** Counts how often a request that waited saw a later one start in a step in which others went on running. */
class Overtakes implements EngineObserver {
  most = 0
  readonly #waiting = new Map<string, number>()
  readonly #running = new Set<string>()
  #started: string[] = []

  queued({ id }: RequestTrace): void {
    this.#waiting.set(id, 0)
  }
  admitted({ id }: RequestTrace): void {
    this.#waiting.delete(id)
    this.#started.push(id)
  }
  finished({ id }: RequestTrace): void {
    this.#waiting.delete(id)
    this.#running.delete(id)
    this.#started = this.#started.filter((one) => one !== id)
  }
  step(): void {
    const latest = Math.max(...this.#started.map(Number))
    if (this.#running.size > 0) {
      for (const [id, count] of this.#waiting) {
        if (Number(id) > latest) continue
        this.#waiting.set(id, count + 1)
        this.most = Math.max(this.most, count + 1)
      }
    }
    for (const id of this.#started.splice(0)) this.#running.add(id)
  }
}

function open(room: RoomOptions, limits = {}) {
  const adapters = new FakeAdapters(room)
  const weightsOf = (slot: number) => {
    const adapter = adapters.slots.get(slot)
    return adapter === undefined ? undefined : adapter + 1
  }
  const runner = new FakeRunner({ limits, weightsOf })
  const overtakes = new Overtakes()
  const engine = new Engine(runner, { checkIntegrity: true, maxPassedOver: MAX_PASSED_OVER, observer: overtakes })
  return { adapters, runner, engine, overtakes }
}

function alone(wanted: GenerationRequest, { limits }: FakeRunner) {
  const weights = wanted.adapter === null ? BASE_WEIGHTS : Number(wanted.adapter.name) + 1
  return generateAlone(wanted, { weights, contextLength: limits.maxModelLen, vocabSize: limits.vocabSize })
}

describe('one slot and constant traffic for one adapter', () => {
  it('lets the other adapter in after the bound and what was running', async () => {
    const { adapters, runner, engine } = open({ slots: 1 })
    const LENGTH = 10
    const send = (adapter: number): Generation =>
      engine.generate(request({ adapter: adapters.lease(adapter), maxTokens: LENGTH }))
    let hasEnded = false
    let numOfA = 0
    // Three clients that ask for A again as soon as they have their answer: without a bound, A is never unpinned.
    const clients = [0, 1, 2].map(async () => {
      while (!hasEnded) {
        await read(send(0)).done
        numOfA++
      }
    })
    while (runner.numSteps < 5) await new Promise((resolve) => setImmediate(resolve))
    const before = runner.numSteps
    const other = read(send(1))
    await other.done
    hasEnded = true
    expect(other.error).toBeNull()
    const UPLOAD = 4
    expect(runner.numSteps - before).toBeLessThanOrEqual(MAX_PASSED_OVER * LENGTH + LENGTH + UPLOAD + LENGTH)
    await Promise.all(clients)
    expect(numOfA).toBeGreaterThan(3)
    await engine.close()
  })
})

const load = fc.record({
  slots: fc.integer({ min: 1, max: 3 }),
  sizes: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 6, maxLength: 6 }),
  capacity: fc.integer({ min: 4, max: 8 }),
  uploadTasks: fc.nat(6),
  maxSpans: fc.integer({ min: 1, max: 5 }),
  numBlocks: fc.integer({ min: 8, max: 32 }),
  arrivals: fc.array(
    fc.record({
      at: fc.nat(60),
      adapter: fc.option(fc.nat(5), { freq: 4 }),
      length: fc.integer({ min: 1, max: 20 }),
      abortAfter: fc.option(fc.nat(40), { freq: 1 }),
    }),
    { minLength: 1, maxLength: 40, size: 'max' },
  ),
})

interface Client {
  readonly wanted: GenerationRequest
  readonly reading: Reading
  readonly generation: Generation
  readonly abortAt: number
}

describe('a pool too small, under random load', () => {
  it('answers everybody with their own adapter, pins nothing for good, and passes over nobody beyond the bound', async () => {
    let numSteps = 0
    let numLoads = 0
    let mostOvertaken = 0
    await fc.assert(
      fc.asyncProperty(load, async ({ arrivals, maxSpans, numBlocks, ...room }) => {
        const { adapters, runner, engine, overtakes } = open(room, { maxSpans, numBlocks, maxModelLen: 32 })
        const clients: Client[] = []
        for (let tick = 0; ; tick++) {
          for (const { at, adapter, length, abortAfter } of arrivals) {
            if (at !== tick) continue
            const lease = adapter === null ? null : adapters.lease(adapter)
            const wanted = request({ id: `${clients.length}`, prompt: [at % 7, 2], adapter: lease, maxTokens: length })
            const generation = engine.generate(wanted)
            const abortAt = abortAfter === null ? -1 : tick + abortAfter
            clients.push({ wanted, generation, reading: read(generation), abortAt })
          }
          for (const { generation, abortAt } of clients) if (abortAt === tick) generation.abort()
          await new Promise((resolve) => setImmediate(resolve))
          if (tick > 60 && clients.every(({ reading }) => reading.hasEnded)) break
          expect(tick, 'a request never ends').toBeLessThan(8000)
        }
        for (const { wanted, reading } of clients) {
          expect(reading.error).toBeNull()
          const whole = alone(wanted, runner)
          const last = reading.events.at(-1)
          if (last?.type !== 'finish' || last.reason !== 'abort') expect(reading.events).toEqual(whole)
        }
        expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, kvCacheUsage: 0 })
        // Nothing is pinned or leased any more, so each adapter alone finds room.
        for (let adapter = 0; adapter < 6; adapter++) {
          const lease = adapters.lease(adapter)
          await lease.ready
          expect(lease.slot).not.toBeNull()
          lease.release()
        }
        numSteps += runner.numSteps
        numLoads += adapters.numLoads
        // Who was preempted is running for the observer and yet waits, so only loads without are counted.
        if (engine.stats().preemptions === 0) mostOvertaken = Math.max(mostOvertaken, overtakes.most)
        await engine.close()
      }),
      { seed: 8, numRuns: 150 },
    )
    expect(numSteps).toBeGreaterThan(10_000)
    expect(numLoads).toBeGreaterThan(2000)
    expect(mostOvertaken).toBe(MAX_PASSED_OVER)
  })
})
