/** The parts of the load benchmark without a model: draws, picks, percentiles, requests, clients, sweeps. */
import { describe, expect, it } from 'vitest'
import type { RequestResult } from '../../src/bench/load/client.ts'
import { drawLength, type Lengths, longest, parseLengths, showLengths } from '../../src/bench/load/lengths.ts'
import { hotCount, picker } from '../../src/bench/load/pick.ts'
import { figuresOf, runClients } from '../../src/bench/load/point.ts'
import { Random } from '../../src/bench/load/random.ts'
import { makeRequests, tokenPrompts, type Workload, wordPrompts } from '../../src/bench/load/requests.ts'
import { defaultScenarios, syntheticWishes } from '../../src/bench/load/scenarios.ts'
import { percentile, summarize } from '../../src/bench/load/stats.ts'
import { type SweepStep, sweep, type Target } from '../../src/bench/load/sweep.ts'

const many = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)

describe('random numbers', () => {
  it('follow from the seed alone, every part of it', () => {
    const draw = (...seed: (number | string)[]) => {
      const random = new Random(...seed)
      return many(5, () => random.next())
    }
    expect(draw(7, 'a')).toEqual(draw(7, 'a'))
    expect(draw(7, 'a')).not.toEqual(draw(7, 'b'))
    expect(draw(7, 'a')).not.toEqual(draw(8, 'a'))
  })

  it('are uniform and normal enough to be called so', () => {
    const random = new Random('shape')
    const uniform = many(20_000, () => random.next())
    expect(Math.min(...uniform)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...uniform)).toBeLessThan(1)
    expect(summarize(uniform)!.mean).toBeCloseTo(0.5, 1)
    const normal = many(20_000, () => random.normal())
    expect(Math.abs(summarize(normal)!.mean)).toBeLessThan(0.03)
    const within = normal.filter((value) => Math.abs(value) < 1).length / normal.length
    expect(within).toBeGreaterThan(0.67)
    expect(within).toBeLessThan(0.7)
  })
})

describe('lengths', () => {
  it.each<[string, Lengths]>([
    ['64', { kind: 'fixed', tokens: 64 }],
    ['32:128', { kind: 'uniform', least: 32, most: 128 }],
    ['normal:64,16', { kind: 'normal', mean: 64, deviation: 16 }],
    ['normal:64.5,0', { kind: 'normal', mean: 64.5, deviation: 0 }],
  ])('are read from %s, and shown the same', (text, lengths) => {
    expect(parseLengths(text)).toEqual(lengths)
    expect(showLengths(lengths)).toBe(text)
  })

  it.each(['', '0', '-1', '1.5', '128:32', '0:4', 'normal:0,1', 'normal:64', 'uniform:1,2', '64 tokens'])(
    'are not read from "%s"',
    (text) => expect(parseLengths(text)).toBeNull(),
  )

  it('stay within their bounds and reach them', () => {
    const draws = (text: string) => {
      const lengths = parseLengths(text)!
      const random = new Random('lengths')
      return { values: many(5000, () => drawLength(lengths, random)), most: longest(lengths) }
    }
    expect(new Set(draws('9').values)).toEqual(new Set([9]))
    const uniform = draws('3:6')
    expect([...new Set(uniform.values)].sort()).toEqual([3, 4, 5, 6])
    expect(uniform.most).toBe(6)
    const normal = draws('normal:20,10')
    expect(Math.min(...normal.values)).toBe(1)
    expect(Math.max(...normal.values)).toBeLessThanOrEqual(normal.most)
    expect(normal.most).toBe(60)
    expect(summarize(normal.values)!.mean).toBeGreaterThan(19)
    expect(summarize(normal.values)!.mean).toBeLessThan(21)
  })
})

describe('picks', () => {
  const counts = (policy: Parameters<typeof picker>[0], count: number, draws: number) => {
    const next = picker(policy, count, new Random('picks', policy))
    const seen = new Array<number>(count).fill(0)
    for (let i = 0; i < draws; i++) seen[next()]!++
    return seen
  }

  it('go round in turn', () => {
    expect(counts('round-robin', 4, 10)).toEqual([3, 3, 2, 2])
  })

  it('are uniform', () => {
    const seen = counts('uniform', 10, 10_000)
    expect(Math.min(...seen)).toBeGreaterThan(850)
    expect(Math.max(...seen)).toBeLessThan(1150)
  })

  it('are skewed: a fifth takes four fifths', () => {
    const seen = counts('skewed', 10, 10_000)
    const hot = seen.slice(0, hotCount(10)).reduce((sum, count) => sum + count)
    expect(hotCount(10)).toBe(2)
    expect(hot).toBeGreaterThan(7800)
    expect(hot).toBeLessThan(8200)
    expect(Math.min(...seen)).toBeGreaterThan(0)
  })

  it('of one are always that one', () => {
    for (const policy of ['uniform', 'round-robin', 'skewed'] as const) expect(counts(policy, 1, 5)).toEqual([5])
  })
})

describe('percentiles', () => {
  /** By definition: the p-th of n - 1 steps between the ordered values. */
  const plain = (values: readonly number[], percent: number): number => {
    const sorted = [...values].sort((a, b) => a - b)
    for (let i = 0; i + 1 < sorted.length; i++) {
      const [from, to] = [(100 * i) / (sorted.length - 1), (100 * (i + 1)) / (sorted.length - 1)]
      if (percent <= to) return sorted[i]! + (sorted[i + 1]! - sorted[i]!) * ((percent - from) / (to - from))
    }
    return sorted.at(-1)!
  }

  it('are those of the definition', () => {
    const random = new Random('percentiles')
    for (const count of [1, 2, 3, 10, 101]) {
      const values = many(count, () => random.next() * 1000)
      const sorted = [...values].sort((a, b) => a - b)
      for (const percent of [0, 1, 50, 90, 99, 100]) {
        expect(percentile(sorted, percent)).toBeCloseTo(plain(values, percent), 9)
      }
    }
    expect(percentile([1, 2, 3, 4], 50)).toBe(2.5)
    expect(percentile([10, 20, 30, 40, 50], 90)).toBeCloseTo(46, 9)
  })

  it('come with mean and ends, and of nothing there are none', () => {
    expect(summarize([3, 1, 2])).toEqual({ count: 3, mean: 2, min: 1, p50: 2, p90: 2.8, p99: 2.98, max: 3 })
    expect(summarize([])).toBeNull()
  })
})

describe('requests', () => {
  const workload: Workload = {
    isl: { kind: 'uniform', least: 3, most: 9 },
    osl: { kind: 'uniform', least: 1, most: 4 },
    pick: 'uniform',
    seed: 1,
  }
  const place = { scenario: 'base', concurrency: 2, round: 0 }
  const models = ['a', 'b', 'c']
  const make = (changes: Partial<Workload> = {}, where: Partial<typeof place> = {}) =>
    makeRequests({ ...workload, ...changes }, 20, models, tokenPrompts(100), { ...place, ...where })

  it('are the same for the same seed, and others for another', () => {
    expect(make()).toEqual(make())
    expect(make({ seed: 2 })).not.toEqual(make())
    expect(make({}, { round: 1 })).not.toEqual(make())
  })

  it('differ between scenarios in their words alone', () => {
    const shape = (requests: ReturnType<typeof make>) =>
      requests.map(({ model, promptTokens, maxTokens }) => ({ model, promptTokens, maxTokens }))
    const [one, other] = [make(), make({}, { scenario: 'single' })]
    expect(shape(one)).toEqual(shape(other))
    expect(one.map(({ prompt }) => prompt)).not.toEqual(other.map(({ prompt }) => prompt))
  })

  it('have prompts as long as was drawn, in tokens or words', () => {
    for (const { prompt, promptTokens } of make()) {
      expect(prompt).toHaveLength(promptTokens)
      expect(Math.max(...(prompt as number[]))).toBeLessThan(100)
    }
    const text = wordPrompts(12, new Random(1)) as string
    expect(text.split(' ')).toHaveLength(12)
  })
})

describe('scenarios', () => {
  it('want adapters of one rank, or of ranks in turn, and share them', () => {
    const ranks = [8, 16]
    const names = (scenario: Parameters<typeof syntheticWishes>[0]) =>
      syntheticWishes(scenario, 3, ranks).map(({ name }) => name)
    expect(names('base')).toEqual([])
    expect(names('single')).toEqual(['r8-0'])
    expect(names('same-rank')).toEqual(['r8-0', 'r8-1', 'r8-2'])
    expect(syntheticWishes('mixed-ranks', 3, ranks)).toEqual([
      { name: 'r8-0', rank: 8 },
      { name: 'r16-1', rank: 16 },
      { name: 'r8-2', rank: 8 },
    ])
  })

  it('are chosen by what there is', () => {
    expect(defaultScenarios({ named: false, synthetic: false })).toEqual(['base'])
    expect(defaultScenarios({ named: true, synthetic: true })).toEqual([...['base', 'merged', 'single', 'adapters']])
    expect(defaultScenarios({ named: false, synthetic: true })).toContain('mixed-ranks')
  })
})

describe('points', () => {
  const result = (changes: Partial<RequestResult> = {}): RequestResult => ({
    model: 'a',
    startedAt: 100,
    firstAt: 110,
    endedAt: 150,
    gapsMs: [10, 30],
    promptTokens: 5,
    outputTokens: 3,
    error: null,
    ...changes,
  })

  it('keep so many requests under way, and send all of them once', async () => {
    const requests = many(10, () => ({ model: 'a', prompt: [1], promptTokens: 1, maxTokens: 1 }))
    const seen = new Set<unknown>()
    let underWay = 0
    let most = 0
    const run = await runClients(requests, 3, async (request) => {
      seen.add(request)
      most = Math.max(most, ++underWay)
      await Promise.resolve()
      underWay--
      return result()
    })
    expect(run.results).toHaveLength(10)
    expect(seen.size).toBe(10)
    expect(most).toBe(3)
  })

  it('pool latencies, take throughput by round, and leave errors out of both', () => {
    const figures = figuresOf([
      { seconds: 2, results: [result(), result({ error: '500 oh', firstAt: null, gapsMs: [] })] },
      { seconds: 1, results: [result({ firstAt: 130 }), result()] },
    ])
    expect(figures.answered).toBe(3)
    expect(figures.errors).toEqual([{ message: '500 oh', count: 1 }])
    expect(figures.ttft).toMatchObject({ count: 3, min: 10, p50: 10, max: 30 })
    expect(figures.itl).toMatchObject({ count: 6, mean: 20 })
    expect(figures.e2e).toMatchObject({ count: 3, min: 50, max: 50 })
    expect(figures.rounds.map(({ tokensPerSecond }) => tokensPerSecond)).toEqual([1.5, 6])
    expect(figures.rps).toMatchObject({ min: 0.5, max: 2 })
    expect(figures.userTps).toMatchObject({ p50: 60 })
  })

  it('have no figures where nothing was answered', () => {
    const figures = figuresOf([{ seconds: 1, results: [result({ error: 'x' })] }])
    expect(figures).toMatchObject({ answered: 0, ttft: null, itl: null, e2e: null })
    expect(figures.tps).toMatchObject({ p50: 0 })
  })
})

describe('a sweep', () => {
  it('warms every point up apart, then goes round by round', async () => {
    const steps: SweepStep[] = []
    let asked = 0
    const target: Target = {
      prompt: tokenPrompts(9),
      counts: () => ({ asked }),
      ask: async ({ model }) => {
        asked++
        const now = performance.now()
        return {
          model,
          startedAt: now - 2,
          firstAt: now - 1,
          endedAt: now,
          gapsMs: [],
          promptTokens: 1,
          outputTokens: 1,
          error: null,
        }
      },
    }
    const points = await sweep(
      {
        scenarios: [
          { name: 'base', target, models: ['a'] },
          { name: 'many', target, models: ['b', 'c'] },
        ],
        concurrency: [1, 2],
        workload: {
          isl: { kind: 'fixed', tokens: 2 },
          osl: { kind: 'fixed', tokens: 1 },
          pick: 'round-robin',
          seed: 0,
        },
        requests: (clients) => clients * 3,
        warmup: (clients) => clients,
        rounds: 2,
      },
      (step) => steps.push(step),
    )
    expect(steps.map(({ scenario, concurrency, round }) => `${scenario} ${concurrency} ${round}`)).toEqual(
      ['warm-up', 0, 1].flatMap((round) =>
        ['base', 'many'].flatMap((name) => [1, 2].map((n) => `${name} ${n} ${round}`)),
      ),
    )
    expect(steps.at(-1)).toMatchObject({ done: 11, total: 12 })
    expect(points.map(({ figures }) => figures.answered)).toEqual([6, 12, 6, 12])
    expect(points.map(({ warmUp }) => warmUp.requests)).toEqual([1, 2, 1, 2])
    expect(points.map(({ counts }) => counts)).toEqual([{ asked: 6 }, { asked: 12 }, { asked: 6 }, { asked: 12 }])
    expect(points.map(({ models }) => models)).toEqual([1, 1, 2, 2])
  })
})
