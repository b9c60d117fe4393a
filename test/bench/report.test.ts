/** What reports look like: tables, plots, and a page that is whole in itself. */
import { describe, expect, it } from 'vitest'
import { againstBase, type LoadReport } from '../../src/bench/load/loadReport.ts'
import type { PointFigures } from '../../src/bench/load/point.ts'
import { summarize } from '../../src/bench/load/stats.ts'
import type { SweepPoint } from '../../src/bench/load/sweep.ts'
import { showNumber, ticksFor } from '../../src/bench/report/axis.ts'
import { loadHtml } from '../../src/bench/report/loadHtml.ts'
import { loadText } from '../../src/bench/report/loadTable.ts'
import { chartSvg, legend } from '../../src/bench/report/svg.ts'
import { textTable } from '../../src/bench/report/textTable.ts'

function point(scenario: string, concurrency: number, tps: number, changes: Partial<PointFigures> = {}): SweepPoint {
  const figures: PointFigures = {
    answered: 8,
    errors: [],
    promptTokens: summarize([64]),
    outputTokens: summarize([32]),
    ttft: summarize([10, 20, 400]),
    itl: summarize([5, 6]),
    e2e: summarize([200, 300]),
    userTps: summarize([100]),
    tps: summarize([tps]),
    rps: summarize([tps / 32]),
    rounds: [],
    ...changes,
  }
  const warmUp = { requests: 1, failed: 0, seconds: 0.5 }
  return { scenario, concurrency, models: scenario === 'base' ? 1 : 8, warmUp, figures, counts: null }
}

const REPORT: LoadReport = {
  kind: 'lorikeet bench',
  schema: 1,
  createdAt: '2026-11-22T00:00:00.000Z',
  command: "lorikeet bench --model '<b>&\"'",
  host: { lorikeet: '0.1.0', runtime: 'Node 20' },
  device: { adapter: 'llvmpipe <15>', software: true },
  isSoftware: true,
  subject: { model: 'm' },
  workload: {
    isl: { kind: 'uniform', least: 32, most: 128 },
    osl: { kind: 'fixed', tokens: 32 },
    pick: 'skewed',
    seed: 0,
    ignoreEos: true,
    rounds: 3,
  },
  notes: ['A <note>.'],
  points: [
    point('base', 1, 100),
    point('base', 8, 400),
    point('mixed-ranks', 1, 90, { errors: [{ message: '500 <oops>', count: 2 }] }),
    point('mixed-ranks', 8, 0, { ttft: null, itl: null, e2e: null, answered: 0 }),
  ],
}

/** Names of elements that are left open, closed twice, or closed in the wrong order. */
function faultsOf(html: string): string[] {
  const open: string[] = []
  const faults: string[] = []
  for (const [, close, name = '', , selfClosed] of html.matchAll(
    /<(\/?)([a-zA-Z][\w-]*)((?:\s+[\w-:]+(?:="[^"<>]*")?)*)\s*(\/?)>/g,
  )) {
    if (['meta', 'br', 'link', 'img'].includes(name) || selfClosed) continue
    if (!close) open.push(name)
    else if (open.pop() !== name) faults.push(name)
  }
  // What is no tag must have been escaped.
  const rest = html.replace(/<!doctype html>/, '').replace(/<style>[\s\S]*?<\/style>/, '')
  const stray = rest.replace(/<\/?[a-zA-Z][\w-]*(?:\s+[\w-:]+(?:="[^"<>]*")?)*\s*\/?>/g, '').match(/[<>]/g)
  return [...faults, ...open, ...(stray ?? [])]
}

describe('the page', () => {
  it('is well-formed, whatever stands in names and messages', () => {
    expect(faultsOf('<p><b></p></b>')).not.toEqual([])
    expect(faultsOf('<p>a < b</p>')).not.toEqual([])
    expect(faultsOf(loadHtml(REPORT))).toEqual([])
  })

  it('needs nothing from anywhere else', () => {
    const html = loadHtml(REPORT)
    expect(html).not.toMatch(/https?:|url\(|@import|<script|<link|<img|src=/)
  })

  it('says what was measured, on what, and that a software device is one', () => {
    const html = loadHtml(REPORT)
    for (const text of [
      'Prompts of 32 to 128 tokens',
      'picked skewed: a fifth',
      'software device',
      'Seed 0',
      'Node 20',
      'A &#60;note&#62;.',
    ]) {
      expect(html).toContain(text)
    }
    expect(html).toContain('2 × mixed-ranks, 1 clients: 500 &#60;oops&#62;')
    expect(loadHtml({ ...REPORT, isSoftware: false })).not.toContain('class="warn"')
  })

  it('begins with what each scenario reached, and says how little a 99th percentile of a few is worth', () => {
    const html = loadHtml(REPORT)
    const glance = html.slice(html.indexOf('At a glance'), html.indexOf('<h2>Throughput'))
    const rows = [...glance.matchAll(/<tr[^>]*>(.*?)<\/tr>/g)].map(([, row = '']) =>
      row.replace(/<[^>]*>/g, '|').replace(/\|+/g, '|'),
    )
    expect(rows.slice(1)).toEqual([
      '|base|400|8|20 / 392|5.5 / 5.99|0|',
      '|mixed-ranks|90|1|0.90|20 / 392|5.5 / 5.99|2|',
    ])
    expect(html).toContain('no more than 0 answered requests')
    const many = REPORT.points.map((one) => ({ ...one, figures: { ...one.figures, answered: 100 } }))
    expect(loadHtml({ ...REPORT, points: many })).not.toContain('answered requests:')
  })

  it('shows how far rounds lie apart where there are several', () => {
    expect(loadHtml(REPORT)).not.toContain('class="range"')
    const apart = point('base', 1, 0, { tps: summarize([90, 100, 130]) })
    expect(loadHtml({ ...REPORT, points: [apart] }).match(/class="range"/g)).toHaveLength(1)
  })

  it('has ten plots with titled axes', () => {
    const html = loadHtml(REPORT)
    expect(html.match(/<figure>/g)).toHaveLength(10)
    expect(html.match(/role="img"/g)).toHaveLength(10)
    expect(html).toContain('tokens a second, all clients')
  })
})

describe('the text', () => {
  it('has a line for each point, ratios to the base, and the errors', () => {
    const text = loadText(REPORT)
    expect(text).toMatch(/mixed-ranks +1 +8 +2 +20 \/ 324 \/ 392 .* 0\.90\n/)
    expect(text).toContain('2 x mixed-ranks, 1 clients: 500 <oops>')
    expect(text).toContain('software device')
  })

  it('aligns words to the left and numbers to the right', () => {
    expect(
      textTable(
        ['name', 'n'],
        [
          ['a', '10'],
          ['long one', '9'],
        ],
      ),
    ).toBe('name       n\n--------  --\na         10\nlong one   9')
  })

  it('aligns columns as it is told', () => {
    const table = textTable(['name', 'n', 'verdict'], [['a', '10', 'met']], { align: 'lrl' })
    expect(table).toBe('name   n  verdict\n----  --  -------\na     10  met')
  })

  it('compares with the base at the same number of clients alone', () => {
    expect(REPORT.points.map((one) => againstBase(REPORT, one))).toEqual([null, null, 0.9, null])
  })
})

describe('a plot', () => {
  const chart = {
    title: 'T',
    xTitle: 'clients',
    yTitle: 'ms',
    kind: 'lines',
    categories: ['1', '2', '4'],
    series: [{ name: 'a', color: 0, values: [10, null, 40] }],
  } as const

  it('puts values where the axis says they are', () => {
    const circles = [...chartSvg(chart).matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [
      Number(x),
      Number(y),
    ])
    const zero = 270 - 44
    expect(circles).toHaveLength(2)
    expect(circles[0]![0]).toBeLessThan(circles[1]![0]!)
    // 40 is the top of the axis, 10 a quarter of it.
    expect(circles[1]![1]).toBe(12)
    expect(zero - circles[0]![1]!).toBeCloseTo((zero - 12) / 4, 0)
  })

  it('draws bars of the same heights, and nothing where nothing is', () => {
    const bars = [...chartSvg({ ...chart, kind: 'bars' }).matchAll(/<rect .*?height="([\d.]+)"/g)].map(([, height]) =>
      Number(height),
    )
    expect(bars).toHaveLength(2)
    expect(bars[1]! / bars[0]!).toBeCloseTo(4, 1)
    expect(chartSvg({ ...chart, series: [] })).toContain('<svg')
  })

  it('draws targets and single rounds where the axis says they are', () => {
    const svg = chartSvg({
      ...chart,
      kind: 'bars',
      series: [{ name: 'a', color: 0, values: [40, null, 20], targets: [20, 30, null], dots: [[10, 40], [], []] }],
    })
    const middle = 12 + (270 - 44 - 12) / 2
    expect([...svg.matchAll(/class="target" d="M[\d.]+ ([\d.]+)H/g)].map(([, y]) => Number(y))).toEqual([middle])
    const dots = [...svg.matchAll(/<circle class="dot" cx="[\d.]+" cy="([\d.]+)"/g)].map(([, y]) => Number(y))
    expect(dots[1]).toBe(12)
    expect(dots[0]).toBeGreaterThan(middle)
  })

  it('goes below zero where values do, and bars hang from there', () => {
    const svg = chartSvg({ ...chart, kind: 'bars', series: [{ name: 'a', color: 0, values: [-10, null, 30] }] })
    const zero = Number(/class="axis" d="M\d+ ([\d.]+)H/.exec(svg)![1])
    const [down, up] = [...svg.matchAll(/<rect .*?y="([\d.]+)".*?height="([\d.]+)"/g)].map(([, y, h]) => [
      Number(y),
      Number(y) + Number(h),
    ])
    expect(down![0]).toBe(zero)
    expect(up![1]).toBeCloseTo(zero, 0)
  })

  it('puts numbers on a scale of numbers', () => {
    const svg = chartSvg({ ...chart, positions: [1, 2, 4], series: [{ name: 'a', color: 0, values: [1, 2, 4] }] })
    const [one, two, four] = [...svg.matchAll(/<circle cx="([\d.]+)"/g)].map(([, x]) => Number(x))
    expect(four! - two!).toBeCloseTo(2 * (two! - one!), 0)
  })

  it('has a shape of its own for each colour', () => {
    const shapes = Array.from({ length: 6 }, (_, color) => legend([{ name: '', color, values: [] }]).replace(/c\d/, ''))
    expect(new Set(shapes).size).toBe(6)
  })

  it('names its series in the legend', () => {
    expect(legend([{ name: '<a>', color: 7, values: [] }])).toMatch(/c1.*&#60;a&#62;/)
  })

  it.each<[number, number[]]>([
    [0, [0, 1]],
    [1, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [1.01, [0, 0.25, 0.5, 0.75, 1, 1.25]],
    [7.3, [0, 2, 4, 6, 8]],
    [100, [0, 20, 40, 60, 80, 100]],
    [760, [0, 200, 400, 600, 800]],
    [0.0042, [0, 0.001, 0.002, 0.003, 0.004, 0.005]],
  ])('of values up to %d has round numbers at its side', (value, ticks) => {
    const found = ticksFor(value)
    expect(found).toHaveLength(ticks.length)
    for (const [i, tick] of ticks.entries()) expect(found[i]).toBeCloseTo(tick, 9)
  })

  it('has round numbers below zero too', () => {
    expect(ticksFor(2.7, -0.3)).toEqual([-1, 0, 1, 2, 3])
    expect(ticksFor(0, -3)).toEqual([-3, -2, -1, 0])
  })

  it.each([
    [0, '0'],
    [0.01234, '0.0123'],
    [2.2222, '2.22'],
    [123.4, '123'],
    [1234.5, '1,235'],
    [2_500_000, '2.5M'],
  ])('writes %d as %s', (value, text) => {
    expect(showNumber(value)).toBe(text)
  })
})
