/** What the tuner does with its time, on a clock that only the trials move. */
import { describe, expect, it } from 'vitest'
import type { Capabilities } from '../../../src/gpu/capabilities.ts'
import { GpuLostError, GpuOutOfMemoryError, ShaderError } from '../../../src/gpu/errors.ts'
import { defaultTuning, type KernelTuning } from '../../../src/model/kernels/tuning.ts'
import type { Candidate, Tunable } from '../../../src/model/tuner/tunable.ts'
import { Tuner } from '../../../src/model/tuner/tuner.ts'
import { type Finding, type Findings, findingsText, readFindings } from '../../../src/model/tuner/tuningStore.ts'

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
  /** Milliseconds of a timing, by label; several: of one after the other. An error: what preparing throws. */
  readonly times: Readonly<Record<string, number | readonly number[] | Error>>
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
    let round = 0
    return {
      compileMs: compileMs[label] ?? 10,
      time: async () => {
        seen.timings++
        const taken = typeof time === 'number' ? time : time[round++ % time.length]!
        now += taken
        return taken
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

/** Nothing but what is named. */
const finding = (changes: Partial<Finding>): Finding => ({ chosen: '8', ms: {}, rejected: {}, slow: {}, ...changes })

describe('Tuner', () => {
  it('holds each candidate against the best so far, and gives back what it took', async () => {
    const { tuner, seen } = tune([shrinks('a', [4, 8, 16])], { times: { 4: 3, 8: 4, 16: 2 } })
    await tuner.run()
    expect(seen.prepared).toEqual(['a 8', 'a 4', 'a 4', 'a 16'])
    expect(tuner.findings).toEqual({ a: finding({ chosen: '16', ms: { 4: 3, 8: 4, 16: 2 } }) })
    expect(seen.adopted.map(({ shrink }) => shrink.columns)).toEqual([4, 16])
    expect(seen.adopted.at(-1)).toEqual({ ...defaultTuning(CAN), shrink: { columns: 16 } })
    expect(seen.saved).toEqual(['a', 'a'])
    expect(seen.open).toBe(0)
  })

  it('stays with what is used unless another is clearly faster, and then changes nothing', async () => {
    const { tuner, seen } = tune([shrinks('a', [8, 16])], { times: { 8: 4, 16: 3.95 } })
    await tuner.run()
    expect(tuner.findings.a).toEqual(finding({ ms: { 8: 4, 16: 3.95 } }))
    expect(seen.adopted).toEqual([])
  })

  it('goes through all choices before it comes to their second candidates', async () => {
    const { tuner, seen } = tune([shrinks('a', [4, 8, 16]), shrinks('b', [8, 2])], {
      times: { 2: 4, 4: 4, 8: 4, 16: 4 },
    })
    await tuner.run()
    expect(seen.prepared).toEqual(['a 8', 'a 4', 'b 8', 'b 2', 'a 8', 'a 16'])
  })

  it('is not taken in by a lucky moment', async () => {
    const lucky = tune([shrinks('a', [4, 8])], { times: { 4: [4, 1, 4.1, 4.1, 4.1, 4.1], 8: 4 } })
    await lucky.tuner.run()
    expect(lucky.seen.timings).toBe(2 * 9) // it seemed to be better
    expect(lucky.tuner.findings.a).toEqual(finding({ ms: { 4: 4.1, 8: 4 } }))
    const unlucky = tune([shrinks('a', [4, 8])], { times: { 4: [4, 3.5, 3.5, 3.5, 9], 8: 4 } })
    await unlucky.tuner.run()
    expect(unlucky.tuner.findings.a!.chosen).toBe('4')
  })

  it('soon leaves what is far behind', async () => {
    const { tuner, seen } = tune([shrinks('a', [4, 8])], { times: { 4: 6, 8: 4 } })
    await tuner.run()
    expect(seen.timings).toBe(2 * 3)
    expect(tuner.findings.a).toEqual(finding({ ms: { 4: 6, 8: 4 } }))
  })

  it('states times as if all had been taken side by side', async () => {
    const before = { a: finding({ ms: { 4: 3, 8: 2 } }) }
    const { tuner } = tune([shrinks('a', [4, 8, 16])], { times: { 8: 20, 16: 10 }, findings: before })
    await tuner.run()
    expect(tuner.findings.a).toEqual(finding({ chosen: '16', ms: { 4: 3, 8: 2, 16: 1 } }))
  })

  it('never uses what computes something wrong or does not compile, and reports it', async () => {
    const times = { 4: new ShaderError('wrong'), 8: 4, 16: 3 }
    const { tuner, seen } = tune([shrinks('a', [4, 8, 16])], { times })
    await tuner.run()
    expect(tuner.findings.a).toEqual(finding({ chosen: '16', ms: { 8: 4, 16: 3 }, rejected: { 4: 'wrong' } }))
    expect(seen.problems).toEqual(['wrong'])
  })

  it('leaves even the default, if that is what is wrong', async () => {
    const wrong = new ShaderError('wrong')
    const { tuner, seen } = tune([shrinks('a', [8, 4, 16])], { times: { 8: wrong, 4: wrong, 16: 30 } })
    await tuner.run()
    expect(tuner.findings.a).toEqual(finding({ chosen: '16', ms: { 16: 30 }, rejected: { 4: 'wrong', 8: 'wrong' } }))
    expect(seen.problems).toEqual(['wrong', 'wrong']) // each once
  })

  it('spends its budget of timings once per start, and goes on with the rest at the next', async () => {
    const all = ['a', 'b', 'c'].map((name) => shrinks(name, [8, 4, 16]))
    const times = { 4: 21, 8: 20, 16: 22 }
    const first = tune(all, { times })
    await first.tuner.run()
    expect(first.seen.saved).toEqual(['a', 'b', 'c'])
    expect(first.seen.now).toBeLessThan(300 + 3 * 2 * 22 + 6 * 10)
    expect(first.seen.open).toBe(0)
    const second = tune(all, { times, findings: first.tuner.findings })
    await second.tuner.run()
    expect(second.seen.prepared).toEqual(['a 8', 'a 16', 'b 8', 'b 16', 'c 8', 'c 16'])
    for (const name of ['a', 'b', 'c']) expect(second.tuner.findings[name]!.ms).toEqual(times)
    const third = tune(all, { times, findings: second.tuner.findings })
    await third.tuner.run()
    expect(third.seen.prepared).toEqual([])
  })

  it('comes to an end on a device whose timings alone take longer than the budget', async () => {
    const all = shrinks('a', [4, 8, 16])
    const times = { 4: 300, 8: 400, 16: 390 }
    let findings: Findings = {}
    for (const tried of [2, 3]) {
      const { tuner, seen } = tune([all], { times, findings })
      await tuner.run()
      expect(seen.timings).toBe(2 * 3)
      findings = tuner.findings
      expect(Object.keys(findings.a!.ms)).toHaveLength(tried)
    }
    expect(findings.a!.chosen).toBe('4')
  })

  it('spends its budget of compiling, and comes further at every start', async () => {
    const all = [shrinks('a', [8, 1, 2, 4, 16, 32, 64])]
    const times = { 1: 4, 2: 4, 4: 4, 8: 4, 16: 4, 32: 4, 64: 4 }
    const compileMs = Object.fromEntries(Object.keys(times).map((label) => [label, 1900]))
    let findings: Findings = {}
    const tried: number[] = []
    for (let start = 0; start < 3; start++) {
      const { tuner } = tune(all, { times, compileMs, findings })
      await tuner.run()
      findings = tuner.findings
      tried.push(Object.keys(findings.a!.ms).length)
    }
    expect(tried).toEqual([4, 7, 7])
  })

  it('asks before every slice whether the device is free, and leaves nothing behind when it is not any more', async () => {
    for (let slices = 0; slices < 21; slices++) {
      const { tuner, seen } = tune([shrinks('a', [4, 8])], { times: { 4: 3.5, 8: 4 }, slices })
      await tuner.run()
      expect(seen.prepared.length + seen.timings).toBe(Math.min(slices, 20))
      expect(seen.open).toBe(0)
      expect(Object.keys(tuner.findings).length).toBe(slices >= 20 ? 1 : 0)
    }
  })

  it('ends where there is no memory, and holds it against no candidate', async () => {
    const times = { 4: new GpuOutOfMemoryError('a load', 1), 8: 4 }
    const { tuner, seen } = tune([shrinks('a', [4, 8])], { times })
    await expect(tuner.run()).rejects.toThrow(GpuOutOfMemoryError)
    expect(seen.open).toBe(0)
    expect(tuner.findings).toEqual({})
  })

  it('ends with the device', async () => {
    const { tuner, seen } = tune([shrinks('a', [4, 8])], { times: { 4: new GpuLostError('gone'), 8: 4 } })
    await expect(tuner.run()).rejects.toThrow('gone')
    expect(seen.open).toBe(0)
    expect(tuner.findings).toEqual({})
  })
})

describe('a candidate that compiles slowly', () => {
  const all = [shrinks('a', [8, 16])]
  const times = { 8: 4, 16: 1 }

  it('is left, however fast it is, but tried again at the next start', async () => {
    const first = tune(all, { times, compileMs: { 16: 2500 } })
    await first.tuner.run()
    expect(first.tuner.findings.a).toEqual(finding({ slow: { 16: 1 } }))
    expect(first.seen.problems).toEqual([])
    expect(first.seen.open).toBe(0)
    const second = tune(all, { times, findings: first.tuner.findings })
    await second.tuner.run()
    expect(second.tuner.findings.a).toEqual(finding({ chosen: '16', ms: times }))
  })

  it('is left for good after three starts', async () => {
    let findings: Findings = {}
    for (let start = 0; start < 3; start++) {
      expect(findings.a?.rejected ?? {}).toEqual({})
      const { tuner } = tune(all, { times, compileMs: { 16: 2500 + start }, findings })
      await tuner.run()
      findings = tuner.findings
    }
    const why = 'took 2502 ms to compile, and too long at 2 earlier starts'
    expect(findings.a).toEqual(finding({ rejected: { 16: why } }))
    const { tuner, seen } = tune(all, { times, findings })
    await tuner.run()
    expect(seen.prepared).toEqual([])
  })

  it('is no slower than its machine: what is used took as long there', async () => {
    const { tuner } = tune(all, { times, compileMs: { 8: 1500, 16: 5900 } })
    await tuner.run()
    expect(tuner.findings.a).toEqual(finding({ chosen: '16', ms: times }))
    const other = tune(all, { times, compileMs: { 8: 1500, 16: 6100 } })
    await other.tuner.run()
    expect(other.tuner.findings.a).toEqual(finding({ slow: { 16: 1 } }))
  })

  it('waits until what was never tried is', async () => {
    const both = [shrinks('a', [8, 16]), shrinks('b', [8, 4, 2])]
    const findings = { a: finding({ slow: { 16: 1 } }) }
    const { tuner, seen } = tune(both, { times: { 2: 4, 4: 4, ...times }, findings })
    await tuner.run()
    expect(seen.prepared).toEqual(['b 8', 'b 4', 'b 8', 'b 2', 'a 8', 'a 16'])
  })
})

describe('what a store returns', () => {
  it('is taken as far as it makes sense', () => {
    const known = [shrinks('a', [8, 16]), shrinks('b', [8, 16])]
    const good = finding({ chosen: '16', ms: { 8: 2, 16: 1 }, slow: {} })
    expect(readFindings(findingsText({ a: good }), known)).toEqual({ a: good })
    const older = { a: { chosen: '16', ms: { 8: 2, 16: 1, 32: 5 } }, b: { chosen: '32' }, c: good }
    expect(readFindings(JSON.stringify(older), known)).toEqual({ a: good })
    const odd = { a: { chosen: '16', ms: { 8: 'fast' }, rejected: { 8: 1 }, slow: null } }
    expect(readFindings(JSON.stringify(odd), known)).toEqual({ a: finding({ chosen: '16' }) })
    for (const text of [null, '', '[', '1', 'null', '{"a":null}']) expect(readFindings(text, known)).toEqual({})
  })
})
