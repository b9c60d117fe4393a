/**
 * The rate at which tokens come when results come late, on a device of given times: in virtual time, so that it is the
 * engine that is measured and not the machine. bench/runAhead.ts measures the same on a real one.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Batch, MAX_IN_FLIGHT, type Runner, type StepResult } from '../../src/engine/batch.ts'
import { Engine } from '../../src/engine/engine.ts'
import type { StepTrace } from '../../src/engine/observer.ts'
import { FakeRunner } from '../support/fakeRunner.ts'
import { read, request } from '../support/requests.ts'

const NUM_TOKENS = 300

/** Runs a step in `stepMs`, one after the other; the results come `readbackMs` later. */
class TimedRunner implements Runner {
  readonly #runner = new FakeRunner({ limits: { numBlocks: 400, maxModelLen: 512 } })
  readonly limits = this.#runner.limits
  readonly #stepMs: number
  readonly #readbackMs: number
  #freeAt = 0

  constructor(stepMs: number, readbackMs: number) {
    this.#stepMs = stepMs
    this.#readbackMs = readbackMs
  }

  async submit(batch: Batch): Promise<StepResult> {
    const result = this.#runner.submit(batch)
    this.#freeAt = Math.max(performance.now(), this.#freeAt) + this.#stepMs
    await until(this.#freeAt + this.#readbackMs)
    return result
  }

  async echo(): Promise<void> {
    await until(Math.max(performance.now(), this.#freeAt) + this.#readbackMs)
  }
}

async function until(time: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, time - performance.now()))
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'setImmediate', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

async function rate(stepMs: number, readbackMs: number, depth?: number) {
  const runner = new TimedRunner(stepMs, readbackMs)
  const arrivals: number[] = []
  const observer = { step: ({ arrivedAt }: StepTrace) => void arrivals.push(arrivedAt) }
  const engine = new Engine(runner, { observer, ...(depth === undefined ? {} : { depth }) })
  await vi.advanceTimersByTimeAsync(3 * readbackMs + 3)
  const readings = [1, 2, 3].map((token) => read(engine.generate(request({ prompt: [token], maxTokens: NUM_TOKENS }))))
  await vi.runAllTimersAsync()
  for (const { error, events } of readings) expect([error, events.length]).toEqual([null, NUM_TOKENS + 1])
  await engine.close()
  // Behind the first steps, by which it finds its pace.
  const steady = arrivals.slice(20)
  return { tokensPerMs: (steady.length - 1) / (steady.at(-1)! - steady[0]!), depth: engine.stats().depth }
}

describe('the decode rate with a late readback', () => {
  for (const readbackMs of [0.05, 10, 100]) {
    for (const stepMs of [2, 8, 30]) {
      it(`of ${readbackMs} ms and steps of ${stepMs} ms is what the depth allows`, async () => {
        const { tokensPerMs, depth } = await rate(stepMs, readbackMs)
        expect(depth).toBe(Math.min(MAX_IN_FLIGHT, 1 + Math.ceil(readbackMs / stepMs)))
        const possible = Math.min(1, (depth * stepMs) / (stepMs + readbackMs))
        expect(tokensPerMs * stepMs).toBeGreaterThan(0.9 * possible)
        // The plain loop waits out every readback.
        const plain = await rate(stepMs, readbackMs, 1)
        expect(plain.tokensPerMs).toBeLessThan(1.05 / (stepMs + readbackMs))
      })
    }
  }
})
