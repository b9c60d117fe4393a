/** The report of `lorikeet bench` as one HTML file: what was asked, plots over the number of clients, every figure. */
import { lengthWords } from '../load/lengths.ts'
import { againstBase, type LoadReport, SOFTWARE_WARNING } from '../load/loadReport.ts'
import { PICK_WORDS } from '../load/pick.ts'
import type { PointFigures } from '../load/point.ts'
import type { Summary } from '../load/stats.ts'
import type { SweepPoint } from '../load/sweep.ts'
import { showNumber } from './axis.ts'
import { htmlFacts, htmlPage, htmlTable } from './page.ts'
import { type Chart, chartSvg, escapeXml, legend, type Series } from './svg.ts'

type Latency = 'ttft' | 'itl' | 'e2e'

const LATENCIES: readonly { readonly key: Latency; readonly title: string; readonly explains: string }[] = [
  { key: 'ttft', title: 'Time to first token (TTFT)', explains: 'from sending a request to its first token' },
  { key: 'itl', title: 'Inter-token latency (ITL)', explains: 'from one token to the next' },
  { key: 'e2e', title: 'End-to-end latency', explains: 'from sending a request to the end of its answer' },
]

export function loadHtml(report: LoadReport): string {
  const { workload, device, isSoftware, subject, host, notes } = report
  const body = [
    '<h1>lorikeet bench</h1>',
    `<p class="lead">${escapeXml(minuteOf(report.createdAt))}</p>`,
    `<p><code>${escapeXml(report.command)}</code></p>`,
    ...(isSoftware ? [`<p class="warn">${SOFTWARE_WARNING}</p>`] : []),
    `<p>${escapeXml(whatWasAsked(report))}</p>`,
    ...(notes.length > 0 ? [`<ul>${notes.map((note) => `<li>${escapeXml(note)}</li>`).join('')}</ul>`] : []),
    '<h2>At a glance</h2>',
    glance(report),
    '<h2>Throughput</h2>',
    ...(workload.rounds > 1
      ? ['<p class="lead">Medians of the rounds; a thin stroke goes from the worst round to the best.</p>']
      : []),
    charts(report, throughputCharts(report)),
    '<h2>Latency</h2>',
    ...fewRequests(report),
    charts(report, latencyCharts(report)),
    '<h2>All figures</h2>',
    throughputTable(report),
    ...LATENCIES.map(({ key, title, explains }) => latencyTable(report, `${title}, ms: ${explains}`, key)),
    ...errorList(report),
    '<h2>Where it ran</h2>',
    htmlFacts({ ...prefixed('', subject), ...(device ? prefixed('device ', device) : {}), ...prefixed('host ', host) }),
    `<p class="lead">Seed ${workload.seed}. ${HOW}</p>`,
  ]
  return htmlPage('lorikeet bench', body.join('\n'))
}

const HOW =
  'Each client sends its next request when the last is answered. Rounds go through all points in turn; every point is ' +
  'warmed up before the first round, and that is in none of the figures. Latencies are over the answered requests of all rounds.'

function whatWasAsked({ workload, points }: LoadReport): string {
  const { isl, osl, pick, ignoreEos, rounds } = workload
  const most = Math.max(...points.map(({ models }) => models))
  const ends = ignoreEos ? ', whatever the model would end them at' : ''
  const adapters =
    most > 1 ? ` Where there are several adapters (up to ${most}), they are picked ${PICK_WORDS[pick]}.` : ''
  return `Prompts of ${lengthWords(isl)}, answers of ${lengthWords(osl)}${ends}; ${rounds} rounds.${adapters}`
}

function scenariosOf({ points }: LoadReport): string[] {
  return [...new Set(points.map(({ scenario }) => scenario))]
}

function concurrencyOf({ points }: LoadReport): number[] {
  return [...new Set(points.map(({ concurrency }) => concurrency))].sort((one, other) => one - other)
}

/** A series for each scenario: `value` of its points, by number of clients. */
function seriesOf(
  report: LoadReport,
  value: (point: SweepPoint) => number | null | undefined,
  spreadOf: (point: SweepPoint) => Summary | null = () => null,
): Series[] {
  return scenariosOf(report).map((scenario, color) => ({
    name: scenario,
    color,
    values: concurrencyOf(report).map((clients) => {
      const point = pointOf(report, scenario, clients)
      return (point && value(point)) ?? null
    }),
    ranges: concurrencyOf(report).map((clients) => {
      const point = pointOf(report, scenario, clients)
      const summary = point ? spreadOf(point) : null
      return summary && summary.max > summary.min ? ([summary.min, summary.max] as const) : null
    }),
  }))
}

function pointOf({ points }: LoadReport, scenario: string, clients: number): SweepPoint | undefined {
  return points.find((one) => one.scenario === scenario && one.concurrency === clients)
}

/** Each scenario where it had the most tokens a second. */
function glance(report: LoadReport): string {
  const rows = scenariosOf(report).flatMap((scenario) => {
    const points = report.points.filter((point) => point.scenario === scenario && point.figures.tps)
    const best = points.toSorted((one, other) => other.figures.tps!.p50 - one.figures.tps!.p50)[0]
    if (!best) return [[scenario, ...Array<string>(5).fill('-'), `${sum(report, scenario)}`]]
    const { ttft, itl, tps } = best.figures
    const ratio = againstBase(report, best)
    const both = (summary: Summary | null) => `${show(summary?.p50)} / ${show(summary?.p99)}`
    return [
      [
        ...[scenario, show(tps?.p50), `${best.concurrency}`, ratio === null ? '' : ratio.toFixed(2)],
        ...[both(ttft), both(itl), `${sum(report, scenario)}`],
      ],
    ]
  })
  const headers = [
    'scenario',
    'most tok/s',
    'with clients',
    'of base',
    'TTFT ms, p50 / p99',
    'ITL ms, p50 / p99',
    'failed',
  ]
  return htmlTable(headers, rows)
}

/** Failed requests of a scenario. */
function sum({ points }: LoadReport, scenario: string): number {
  return points
    .filter((point) => point.scenario === scenario)
    .reduce((total, { figures }) => total + failedOf(figures), 0)
}

/** Says what a 99th percentile of a few is. */
function fewRequests({ points }: LoadReport): string[] {
  const fewest = Math.min(...points.map(({ figures }) => figures.answered))
  if (fewest >= 100) return []
  return [
    `<p class="lead">There are points with no more than ${fewest} answered requests: of fewer than 100 the 99th percentile is about the slowest one.</p>`,
  ]
}

/** Of an ISO date, as people read it. */
function minuteOf(date: string): string {
  return `${date.slice(0, 10)} ${date.slice(11, 16)} UTC`
}

function throughputCharts(report: LoadReport): Chart[] {
  const common = { xTitle: 'clients', xUnit: 'clients', categories: concurrencyOf(report).map(String) }
  const ratios = seriesOf(report, (point) => againstBase(report, point))
  const all: Chart[] = [
    {
      ...common,
      title: 'Output tokens',
      yTitle: 'tokens a second, all clients',
      kind: 'lines',
      series: seriesOf(
        report,
        ({ figures }) => figures.tps?.p50,
        ({ figures }) => figures.tps,
      ),
    },
    {
      ...common,
      title: 'Requests',
      yTitle: 'requests a second, all clients',
      kind: 'lines',
      series: seriesOf(
        report,
        ({ figures }) => figures.rps?.p50,
        ({ figures }) => figures.rps,
      ),
    },
    {
      ...common,
      title: 'Output tokens of one client',
      yTitle: 'tokens a second, median request',
      kind: 'lines',
      series: seriesOf(report, ({ figures }) => figures.userTps?.p50),
    },
    {
      ...common,
      title: 'Against the base',
      yTitle: 'tokens a second, of the base',
      kind: 'bars',
      mark: 1,
      series: ratios.filter(({ values }) => values.some((value) => value !== null)),
    },
  ]
  return all.filter(({ series }) => series.length > 0)
}

function latencyCharts(report: LoadReport): Chart[] {
  return LATENCIES.flatMap(({ key, title }) =>
    (['p50', 'p99'] as const).map(
      (percentile): Chart => ({
        title: `${title}, ${percentile === 'p50' ? 'median' : '99th percentile'}`,
        xTitle: 'clients',
        xUnit: 'clients',
        yTitle: 'ms',
        categories: concurrencyOf(report).map(String),
        kind: 'lines',
        series: seriesOf(report, ({ figures }) => figures[key]?.[percentile]),
      }),
    ),
  )
}

/** One legend for all: a scenario has the same colour everywhere. */
function charts(report: LoadReport, all: readonly Chart[]): string {
  const figures = all.map((chart) => `<figure><h3>${escapeXml(chart.title)}</h3>\n${chartSvg(chart)}\n</figure>`)
  return `${legend(seriesOf(report, () => null))}\n<div class="charts">\n${figures.join('\n')}\n</div>`
}

function throughputTable(report: LoadReport): string {
  const headers = ['scenario', 'clients', 'models', 'answered', 'failed', 'prompt tokens', 'output tokens', 'tok/s']
  const rows = report.points.map((point) => {
    const { figures, warmUp } = point
    const ratio = againstBase(report, point)
    return [
      ...[point.scenario, `${point.concurrency}`, `${point.models}`, `${figures.answered}`, `${failedOf(figures)}`],
      ...[show(figures.promptTokens?.mean), show(figures.outputTokens?.mean)],
      ...[show(figures.tps?.p50), spread(figures.tps), show(figures.rps?.p50), ratio === null ? '' : ratio.toFixed(3)],
      `${warmUp.requests} in ${warmUp.seconds.toFixed(1)} s`,
    ]
  })
  return `<h3>Throughput: medians of the rounds</h3>${htmlTable([...headers, 'worst–best', 'req/s', 'of base', 'warm-up'], rows)}`
}

function latencyTable(report: LoadReport, title: string, key: Latency): string {
  const headers = ['scenario', 'clients', 'count', 'mean', 'min', 'p50', 'p90', 'p99', 'max']
  const rows = report.points.map(({ scenario, concurrency, figures }) => {
    const one = figures[key]
    const values = one ? [one.count, one.mean, one.min, one.p50, one.p90, one.p99, one.max].map(showNumber) : []
    return [scenario, `${concurrency}`, ...values]
  })
  return `<h3>${escapeXml(title)}</h3>${htmlTable(headers, rows)}`
}

function errorList({ points }: LoadReport): string[] {
  const items = points.flatMap(({ scenario, concurrency, figures }) =>
    figures.errors.map(({ message, count }) => `${count} × ${scenario}, ${concurrency} clients: ${message}`),
  )
  if (items.length === 0) return []
  return ['<h2>Failed requests</h2>', `<ul>${items.map((item) => `<li>${escapeXml(item)}</li>`).join('')}</ul>`]
}

function failedOf({ errors }: PointFigures): number {
  return errors.reduce((sum, { count }) => sum + count, 0)
}

function spread(summary: Summary | null): string {
  return summary ? `${showNumber(summary.min)}–${showNumber(summary.max)}` : '-'
}

function show(value: number | undefined): string {
  return value === undefined ? '-' : showNumber(value)
}

function prefixed(prefix: string, facts: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [prefix + name, value]))
}
