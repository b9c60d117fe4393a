/** What the tuner does with its time, on a clock that only the trials move. */
import { describe, expect, it } from 'vitest'
import type { Capabilities } from '../../../src/gpu/capabilities.ts'
import { GpuLostError, ShaderError } from '../../../src/gpu/errors.ts'
import { defaultTuning, type KernelTuning } from '../../../src/model/kernels/tuning.ts'
import type { Candidate, Tunable } from '../../../src/model/tuner/tunable.ts'
import { Tuner } from '../../../src/model/tuner/tuner.ts'
import type { Findings } from '../../../src/model/tuner/tuningStore.ts'

const CAN = { software: false } as Capabilities

/** Shrinks by columns: the default is 8. */
function shrinks(name: string, columns: readonly number[]): Tunable {
  return {
    name,
    chosen: ({ shrink }) => `${shrink.columns}`,
    candidates: columns.map((each) => ({
      label: `${each}`,
      within: (tuning) => ({ ...tuning, shrink: { columns: each } }),
    })),
    check: () => expect.unreachable(),
    load: () => expect.unreachable(),
  }
}

interface World {
  /** Milliseconds of a timing, by label; an error: what preparing throws. */
  readonly times: Readonly<Record<string, number | Error>>
  readonly compileMs?: Readonly<Record<string, number>>
  /** Slices until the engine has work for good. */
  readonly slices?: number
  readonly findings?: Findings
}

function tune(tunables: readonly Tunable[], { times, compileMs = {}, slices = Infinity, findings = {} }: World) {
  let now = 0
  let left = slices
  const seen = {
    prepared: [] as string[],
    timings: 0,
    open: 0,
    adopted: [] as KernelTuning[],
    problems: [] as string[],
    saved: [] as string[],
    get now() {
      return now
    },
  }
  const prepare = async (tunable: Tunable, { label }: Candidate) => {
    seen.prepared.push(`${tunable.name} ${label}`)
    now += compileMs[label] ?? 10
    const time = times[label]!
    if (time instanceof Error) throw time
    seen.open++
    return {
      time: async () => {
        seen.timings++
        now += time
        return time
      },
      close: () => {
        seen.open--
      },
    }
  }
  const tuner = new Tuner(
    CAN,
    tunables,
    findings,
    { prepare },
    {
      rest: async () => left-- > 0,
      now: () => now,
      adopt: async (tuning) => {
        seen.adopted.push(tuning)
      },
      problem: ({ message }) => seen.problems.push(message),
      found: async (name) => {
        seen.saved.push(name)
      },
    },
  )
  return { tuner, seen }
}

describe('Tuner', () => {
  it('takes the fastest candidate, the default first, and gives back what it took', async () => {
    const { tuner, seen } = tune([shrinks('a', [4, 8, 16])], { times: { 4: 3, 8: 4, 16: 2 } })
    await tuner.run()
    expect(seen.prepared).toEqual(['a 8', 'a 4', 'a 16'])
    expect(tuner.findings).toEqual({ a: { chosen: '16', ms: { 4: 3, 8: 4, 16: 2 }, rejected: {} } })
    expect(seen.adopted).toEqual([{ ...defaultTuning(CAN), shrink: { columns: 16 } }])
    expect(seen.saved).toEqual(['a'])
    expect(seen.open).toBe(0)
  })

  it('stays with the default unless another is clearly faster, and then changes nothing', async () => {
    const { tuner, seen } = tune([shrinks('a', [8, 16])], { times: { 8: 4, 16: 3.95 } })
    await tuner.run()
    expect(tuner.findings.a!.chosen).toBe('8')
    expect(seen.adopted).toEqual([])
  })

  it('never uses what computes something wrong or does not compile, and reports it', async () => {
    const times = { 4: new ShaderError('wrong'), 8: 4, 16: 3 }
    const { tuner, seen } = tune([shrinks('a', [4, 8, 16])], { times })
    await tuner.run()
    expect(tuner.findings.a).toEqual({ chosen: '16', ms: { 8: 4, 16: 3 }, rejected: { 4: 'wrong' } })
    expect(seen.problems).toEqual(['wrong'])
  })

  it('leaves even the default, if that is what is wrong', async () => {
    const { tuner } = tune([shrinks('a', [8, 16])], { times: { 8: new ShaderError('wrong'), 16: 30 } })
    await tuner.run()
    expect(tuner.findings.a!.chosen).toBe('16')
  })

  it('leaves what takes long to compile, however fast it is', async () => {
    const { tuner, seen } = tune([shrinks('a', [8, 16])], { times: { 8: 4, 16: 1 }, compileMs: { 16: 2500 } })
    await tuner.run()
    expect(tuner.findings.a).toEqual({ chosen: '8', ms: { 8: 4 }, rejected: { 16: 'took 2500 ms to compile' } })
    expect(seen.problems).toEqual([])
    expect(seen.open).toBe(0)
  })

  it('spends its budget of timings once per start, and goes on with the rest at the next', async () => {
    const all = ['a', 'b', 'c'].map((name) => shrinks(name, [8, 16]))
    const times = { 8: 20, 16: 10 }
    const first = tune(all, { times })
    await first.tuner.run()
    expect(Object.keys(first.tuner.findings)).toEqual(['a', 'b'])
    expect(first.seen.timings * 15).toBeLessThanOrEqual(300 + 20)
    expect(first.seen.open).toBe(0)
    const second = tune(all, { times, findings: first.tuner.findings })
    await second.tuner.run()
    expect(second.seen.prepared).toEqual(['c 8', 'c 16'])
    expect(Object.keys(second.tuner.findings)).toEqual(['a', 'b', 'c'])
  })

  it('spends its budget of compiling', async () => {
    const all = Array.from({ length: 20 }, (_, i) => shrinks(`${i}`, [8, 16]))
    const { tuner, seen } = tune(all, { times: { 8: 1, 16: 1 }, compileMs: { 8: 1500, 16: 1500 } })
    await tuner.run()
    expect(seen.prepared.length).toBe(7)
    expect(Object.keys(tuner.findings)).toEqual(['0', '1', '2'])
  })

  it('asks before every slice whether the device is free, and leaves nothing behind when it is not any more', async () => {
    for (let slices = 0; slices < 13; slices++) {
      const { tuner, seen } = tune([shrinks('a', [4, 8])], { times: { 4: 2, 8: 4 }, slices })
      await tuner.run()
      expect(seen.prepared.length + seen.timings).toBe(Math.min(slices, 12))
      expect(seen.open).toBe(0)
      expect(Object.keys(tuner.findings).length).toBe(slices >= 12 ? 1 : 0)
    }
  })

  it('ends with the device', async () => {
    const { tuner, seen } = tune([shrinks('a', [4, 8])], { times: { 4: new GpuLostError('gone'), 8: 4 } })
    await expect(tuner.run()).rejects.toThrow('gone')
    expect(seen.open).toBe(0)
    expect(tuner.findings).toEqual({})
  })
})
