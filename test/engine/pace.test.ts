import { describe, expect, it } from 'vitest'
import { MAX_IN_FLIGHT } from '../../src/engine/batch.ts'
import { Pace } from '../../src/engine/pace.ts'
import { InvariantError } from '../../src/errors.ts'
import { Random } from '../support/random.ts'

/** A device that runs one step after the other and an engine that submits one more whenever the pace allows. */
function run(pace: Pace, readback: number, stepOf: (index: number) => number, numSteps = 200) {
  let now = 0
  let deviceFreeAt = 0
  let busy = 0
  const flights: { submittedAt: number; arrivesAt: number }[] = []
  const depths: number[] = []
  for (let index = 0; index < numSteps; ) {
    while (flights.length < pace.depth && index < numSteps) {
      const step = stepOf(index++)
      deviceFreeAt = Math.max(now, deviceFreeAt) + step
      busy += step
      flights.push({ submittedAt: now, arrivesAt: deviceFreeAt + readback })
    }
    const { submittedAt, arrivesAt } = flights.shift()!
    now = Math.max(now, arrivesAt)
    pace.arrived(submittedAt, arrivesAt)
    depths.push(pace.depth)
  }
  return { depths, busyShare: busy / deviceFreeAt }
}

const wanted = (readback: number, step: number) => Math.min(MAX_IN_FLIGHT, 1 + Math.max(1, Math.ceil(readback / step)))

describe('the pace', () => {
  for (const [readback, step] of [
    [0.05, 30],
    [0.05, 2],
    [10, 30],
    [10, 4],
    [11, 2],
    [100, 40],
    [100, 15],
    [100, 2],
  ] as const) {
    it(`of a readback of ${readback} ms and steps of ${step} ms is ${wanted(readback, step)}`, () => {
      const pace = new Pace()
      pace.echoed([readback * 3, readback, readback + 5])
      const { depths, busyShare } = run(pace, readback, () => step * 1.0001)
      expect(new Set(depths.slice(20))).toEqual(new Set([wanted(readback, step)]))
      const depth = wanted(readback, step)
      expect(busyShare).toBeGreaterThan(0.9 * Math.min(1, (depth * step) / (step + readback)))
    })
  }

  it('keeps the device busy when steps vary and prompts come between', () => {
    const random = new Random(5)
    const pace = new Pace()
    pace.echoed([10])
    const { depths, busyShare } = run(pace, 10, (i) => (i % 10 === 9 ? 40 : 5 + random.next()), 1000)
    expect(Math.min(...depths.slice(20))).toBeGreaterThanOrEqual(3)
    expect(Math.max(...depths)).toBeLessThanOrEqual(4)
    expect(busyShare).toBeGreaterThan(0.97)
  })

  it('is two before anything is known', () => {
    const pace = new Pace()
    expect(pace.depth).toBe(2)
    const { depths } = run(pace, 50, () => 10, 20)
    expect(new Set(depths)).toEqual(new Set([2]))
    pace.echoed([50])
    run(pace, 50, () => 10)
    expect(pace.depth).toBe(6)
  })

  it('follows steps that become longer, and believes no echo that took longer than a whole step', () => {
    const pace = new Pace()
    pace.echoed([100])
    run(pace, 100, () => 25)
    expect(pace.depth).toBe(5)
    run(pace, 100, () => 60)
    expect(pace.depth).toBe(3)
    run(pace, 1, () => 60)
    expect(pace.readbackMs).toBeLessThanOrEqual(61)
  })

  it('can be fixed', () => {
    const pace = new Pace(3)
    pace.echoed([100])
    expect(new Set(run(pace, 100, () => 1).depths)).toEqual(new Set([3]))
    expect(pace.isAdaptive).toBe(false)
    for (const impossible of [0, 9, 1.5]) expect(() => new Pace(impossible)).toThrow(InvariantError)
  })
})
