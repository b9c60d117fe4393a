import { describe, expect, it } from 'vitest'
import { ChromeTrace } from '../../src/engine/chromeTrace.ts'
import { Engine } from '../../src/engine/engine.ts'
import { latenciesOf, type StepTrace } from '../../src/engine/observer.ts'
import { FakeRunner } from '../support/fakeRunner.ts'
import { FakeLease, read, request } from '../support/requests.ts'

interface Event {
  readonly ph: string
  readonly name: string
  readonly cat?: string
  readonly id?: string
  readonly pid: number
  readonly tid: number
  readonly ts: number
  readonly dur?: number
  readonly args?: Readonly<Record<string, unknown>>
}

/** A step that the device ran from `begin` to `end` of its own clock. */
function stepAt(index: number, arrivedAt: number, begin: number, end: number): StepTrace {
  return {
    index,
    numRows: 1,
    numSpans: 1,
    numLogitsRows: 1,
    numSegments: 0,
    rows: [{ adapter: null, prefill: 0, decode: 1 }],
    numRunning: 1,
    numWaiting: 0,
    numInFlight: 0,
    gpuTime: { begin, end },
    plannedAt: 0,
    submittingAt: 0,
    submittedAt: 0,
    arrivedAt,
    settlingAt: arrivedAt,
    settledAt: arrivedAt,
  }
}

/** Runs two requests and returns the timeline, on a clock that goes on a microsecond with each look at it. */
async function trace(depth: number): Promise<Event[]> {
  let text = ''
  let now = 0
  const timeline = new ChromeTrace((piece) => {
    text += piece
  })
  const engine = new Engine(new FakeRunner({ latency: 5 }), { depth, observer: timeline, now: () => (now += 0.001) })
  const generations = [
    request({ id: 'one', maxTokens: 12, adapter: new FakeLease('parrot', 1) }),
    request({ id: 'two', maxTokens: 8, prompt: Array.from({ length: 20 }, (_, i) => i) }),
  ].map((one) => read(engine.generate(one)))
  await Promise.all(generations.map(({ done }) => done))
  await engine.close()
  timeline.end()
  timeline.end()
  timeline.step(stepAt(99, 1, 0, 1)) // too late: dropped
  return JSON.parse(text) as Event[]
}

/** Begin and end of each async event of a category. */
function spansOf(events: readonly Event[], category: string) {
  const begins = events.filter(({ ph, cat }) => ph === 'b' && cat === category)
  return begins.map((begin) => {
    const end = events.find(
      ({ ph, cat, id, name }) => ph === 'e' && cat === category && id === begin.id && name === begin.name,
    )
    return { ...begin, end: end!.ts }
  })
}

describe('the timeline', () => {
  for (const depth of [1, 4]) {
    it(`shows steps in flight ${depth === 1 ? 'one after the other' : 'that overlap'}`, async () => {
      const steps = spansOf(await trace(depth), 'step')
      expect(steps.length).toBeGreaterThanOrEqual(12)
      let most = 0
      for (const { ts } of steps)
        most = Math.max(most, steps.filter((other) => other.ts <= ts && ts < other.end).length)
      expect(most).toBe(depth)
    })
  }

  it('shows JavaScript planning, submitting and settling every step, one thing at a time', async () => {
    const events = await trace(4)
    const slices = events.filter(({ ph, tid }) => ph === 'X' && tid === 1)
    const numSteps = spansOf(events, 'step').length
    for (const name of ['plan', 'submit', 'settle']) {
      expect(slices.filter((slice) => slice.name === name)).toHaveLength(numSteps)
    }
    const inOrder = slices.toSorted((one, other) => one.ts - other.ts)
    for (const [i, { ts, dur }] of inOrder.entries()) {
      expect(dur).toBeGreaterThanOrEqual(0)
      if (inOrder[i + 1]) expect(ts + dur!).toBeLessThanOrEqual(inOrder[i + 1]!.ts + 1e-6)
    }
    expect(slices.find(({ name }) => name === 'settle')!.args).toMatchObject({ rows: 16, segments: 1, spans: 2 })
  })

  it('shows each request with its queue, prefill and decode, and what its client felt', async () => {
    const events = await trace(4)
    const requests = spansOf(events, 'request')
    const one = requests.filter(({ id }) => id === 'one')
    expect(one.map(({ name }) => name)).toEqual(['parrot', 'queue', 'prefill', 'decode'])
    const [whole, queue, prefill, decode] = one
    expect([whole!.ts, queue!.end, prefill!.end, decode!.end]).toEqual([queue!.ts, prefill!.ts, decode!.ts, whole!.end])
    expect(whole!.args).toMatchObject({ outcome: 'length', numGeneratedTokens: 12, numCachedTokens: 0 })
    for (const key of ['queueMs', 'firstTokenMs', 'betweenTokensMs']) expect(whole!.args![key]).toBeGreaterThan(0)
  })

  it('shows the device on the engine’s clock, no step ending after its result', () => {
    let text = ''
    const timeline = new ChromeTrace((piece) => {
      text += piece
    })
    timeline.step(stepAt(0, 20, 1005, 1010))
    timeline.step(stepAt(1, 24, 1010, 1015))
    timeline.step(stepAt(2, 31, 1015, 1020))
    timeline.end()
    const runs = (JSON.parse(text) as Event[]).filter(({ tid, ph }) => tid === 2 && ph === 'X')
    expect(runs.map(({ ts, dur }) => [ts / 1000, dur! / 1000])).toEqual([
      [15, 5],
      [19, 5],
      [24, 5],
    ])
  })
})

describe('latencies', () => {
  const trace = {
    id: 'x',
    adapter: null,
    numPromptTokens: 3,
    numCachedTokens: 0,
    numGeneratedTokens: 5,
    queuedAt: 100,
    admittedAt: 130,
    firstTokenAt: 150,
    lastTokenAt: 190,
    finishedAt: 200,
    outcome: 'stop' as const,
  }

  it('are those of the queue, the first token, and from token to token', () => {
    expect(latenciesOf(trace)).toEqual({ queueMs: 30, firstTokenMs: 50, betweenTokensMs: 10 })
  })

  it('are null where it did not come to that', () => {
    expect(latenciesOf({ ...trace, numGeneratedTokens: 1, lastTokenAt: 150 })).toMatchObject({ betweenTokensMs: null })
    const nothing = { admittedAt: null, firstTokenAt: null, lastTokenAt: null }
    expect(latenciesOf({ ...trace, ...nothing })).toEqual({ queueMs: null, firstTokenMs: null, betweenTokensMs: null })
  })
})
