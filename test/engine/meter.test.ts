/** The meter on a real engine with a scripted device: every request, token, row and step is counted once. */
import { describe, expect, it } from 'vitest'
import { Engine } from '../../src/engine/engine.ts'
import { EngineMeter } from '../../src/engine/meter.ts'
import { type EngineObserver, observedBy } from '../../src/engine/observer.ts'
import { KEPT_STEPS } from '../../src/engine/stepHistory.ts'
import { FakeRunner, type FakeRunnerOptions } from '../support/fakeRunner.ts'
import { FakeLease, read, request } from '../support/requests.ts'

/** A clock that goes on by a millisecond with each look at it. */
function open(options: FakeRunnerOptions = {}, others: readonly EngineObserver[] = []) {
  let now = 1000
  const clock = () => now++
  const meter = new EngineMeter(clock)
  const observer = observedBy(meter, ...others)
  const engine = new Engine(new FakeRunner(options), { checkIntegrity: true, observer, now: clock, depth: 2 })
  return { meter, engine }
}

describe('EngineMeter', () => {
  it('counts requests, tokens and rows by adapter', async () => {
    const { meter, engine } = open()
    const readings = [
      request({ id: 'a', maxTokens: 3, adapter: new FakeLease('parrot', 1) }),
      request({ id: 'b', maxTokens: 5, adapter: new FakeLease('parrot', 1), prompt: [1, 2, 3] }),
      request({ id: 'c', maxTokens: 2, adapter: new FakeLease('owl', 2) }),
      request({ id: 'd', maxTokens: 4, prompt: [9] }),
    ].map((one) => read(engine.generate(one)))
    await Promise.all(readings.map(({ done }) => done))

    expect(meter.outcomes).toEqual({ stop: 0, length: 4, abort: 0, error: 0 })
    expect(meter.tally('parrot')).toMatchObject({ promptTokens: 8, generatedTokens: 8, firstTokens: 2 })
    expect(meter.tally('owl')).toMatchObject({ promptTokens: 5, generatedTokens: 2, firstTokens: 1 })
    expect(meter.tally('nobody')).toMatchObject({ promptTokens: 0, generatedTokens: 0 })
    expect(meter.tally('parrot').firstTokenSeconds).toBeGreaterThan(0)

    const stats = engine.stats()
    expect(meter.firstToken.count).toBe(4)
    expect(meter.betweenTokens.count).toBe(stats.generatedTokens - 4)
    expect(meter.perToken.count).toBe(4)
    for (const histogram of [meter.whole, meter.queue, meter.inference, meter.prefill, meter.decode]) {
      expect(histogram.count).toBe(4)
    }
    expect(meter.promptTokens.sum).toBe(5 + 3 + 5 + 1)
    expect(meter.answerTokens.sum).toBe(14)
    expect(meter.queue.sum + meter.inference.sum).toBeCloseTo(meter.whole.sum)

    expect(meter.stepTokens.count).toBe(stats.steps)
    expect(meter.stepTokens.sum).toBe(stats.rows)
    expect(meter.prefillRows).toBe(5 + 3 + 5 + 1)
    expect(meter.decodeRows).toBe(14 - 4) // the first token of each comes out of its prompt's last row
    const steps = meter.steps.after()
    expect(steps).toHaveLength(stats.steps)
    const rowsOf = (name: string | null) =>
      steps
        .flatMap(({ rows }) => rows.filter(({ adapter }) => adapter === name))
        .reduce((sum, { prefill, decode }) => [sum[0]! + prefill, sum[1]! + decode], [0, 0])
    expect(rowsOf('parrot')).toEqual([8, 6])
    expect(rowsOf('owl')).toEqual([5, 1])
    expect(rowsOf(null)).toEqual([1, 3])
  })

  it('counts every ending once: stopped, cut, gone before and while it ran, failed', async () => {
    const { meter, engine } = open()
    const whole = read(engine.generate(request({ maxTokens: 6 })))
    await whole.done
    const third = whole.events.flatMap((event) => (event.type === 'token' ? [event.token] : []))[2]!
    await read(engine.generate(request({ maxTokens: 6, stopIds: [third] }))).done
    expect(meter.outcomes).toEqual({ stop: 1, length: 1, abort: 0, error: 0 })

    await read(engine.generate(request({ signal: AbortSignal.abort() }))).done
    expect(meter.queue.count).toBe(2)
    const gone = engine.generate(request({ maxTokens: 40 }))
    for await (const event of gone) if (event.type === 'token') break
    gone.abort()
    gone.abort()
    const lost = new FakeLease('lost')
    const waits = read(engine.generate(request({ adapter: lost })))
    lost.fail(new Error('cannot come'))
    await waits.done
    expect(waits.error).not.toBeNull()
    await read(engine.generate(request({ maxTokens: 1 }))).done
    expect(meter.outcomes).toEqual({ stop: 1, length: 2, abort: 2, error: 1 })
    expect(meter.whole.count).toBe(6)
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, usedBlocks: 0 })
  })

  it('counts a failed step as the failure of each request under way', async () => {
    const failing = (index: number): void => {
      if (index === 1) throw new Error('the device is gone')
    }
    const { meter, engine } = open({ inFlight: failing })
    const readings = [request({ id: 'a' }), request({ id: 'b' })].map((one) => read(engine.generate(one)))
    await Promise.all(readings.map(({ done }) => done))
    expect(meter.outcomes).toEqual({ stop: 0, length: 0, abort: 0, error: 2 })
    expect(engine.adaptersAtWork()).toEqual({ running: [], waiting: [] })
  })

  it('counts what a preempted request computes again as prefill, and its tokens once', async () => {
    const { meter, engine } = open({ limits: { numBlocks: 6, blockSize: 4, maxModelLen: 24 } })
    const readings = [
      request({ id: 'a', maxTokens: 14, prompt: [1, 2, 3] }),
      request({ id: 'b', maxTokens: 14, prompt: [4, 5, 6], adapter: new FakeLease('parrot', 1) }),
    ].map((one) => read(engine.generate(one)))
    await Promise.all(readings.map(({ done }) => done))
    expect(engine.stats().preemptions).toBeGreaterThan(0)
    expect(meter.prefillRows).toBeGreaterThan(6)
    expect(meter.prefillRows + meter.decodeRows).toBe(engine.stats().rows)
    expect(meter.tally('parrot')).toMatchObject({ promptTokens: 3, generatedTokens: 14, firstTokens: 1 })
    expect(meter.queue.count).toBe(2)
  })

  it('keeps the last steps, and gives those behind a number', async () => {
    const { meter, engine } = open({ limits: { maxModelLen: 700, numBlocks: 200, blockSize: 4 } })
    await read(engine.generate(request({ maxTokens: 600, prompt: [1] }))).done
    const { steps } = engine.stats()
    expect(steps).toBe(600)
    const kept = meter.steps.after()
    expect(kept.map(({ step }) => step)).toEqual(Array.from({ length: KEPT_STEPS }, (_, i) => steps - KEPT_STEPS + i))
    expect(meter.steps.after(3)).toEqual(kept)
    expect(meter.steps.after(597).map(({ step }) => step)).toEqual([598, 599])
    expect(meter.steps.after(599)).toEqual([])
    expect(meter.steps.after(5000)).toEqual([])
    for (const [i, { at, ms }] of kept.entries()) {
      expect(ms).toBeGreaterThanOrEqual(0)
      if (i > 0) expect(ms).toBeLessThanOrEqual(at - kept[i - 1]!.at) // steps that overlap are not counted twice
    }
  })

  it('makes one record for a request, whatever observes it', async () => {
    const seen = new Set<unknown>()
    const { engine } = open({}, [
      { queued: (trace) => seen.add(trace), token: (trace) => seen.add(trace), finished: (trace) => seen.add(trace) },
    ])
    await read(engine.generate(request({ maxTokens: 8 }))).done
    expect(seen.size).toBe(1)
  })
})
