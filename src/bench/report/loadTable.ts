/** The figures of `lorikeet bench` for a terminal. */
import { lengthWords } from '../load/lengths.ts'
import { againstBase, type LoadReport, SOFTWARE_WARNING } from '../load/loadReport.ts'
import { PICK_WORDS } from '../load/pick.ts'
import type { Summary } from '../load/stats.ts'
import { showNumber } from './axis.ts'
import { textTable } from './textTable.ts'

const HEADERS = [
  'scenario',
  'clients',
  'ok',
  'failed',
  'TTFT ms',
  'ITL ms',
  'end to end ms',
  'tok/s',
  'req/s',
  'of base',
]

export function loadText(report: LoadReport): string {
  const { workload, device, subject, notes, isSoftware } = report
  const rows = report.points.map((point) => {
    const { figures } = point
    const failed = figures.errors.reduce((sum, { count }) => sum + count, 0)
    const ratio = againstBase(report, point)
    return [
      point.scenario,
      `${point.concurrency}`,
      `${figures.answered}`,
      `${failed}`,
      threePercentiles(figures.ttft),
      threePercentiles(figures.itl),
      threePercentiles(figures.e2e),
      showFigure(figures.tps?.p50),
      showFigure(figures.rps?.p50),
      ratio === null ? '' : ratio.toFixed(2),
    ]
  })
  const errors = report.points.flatMap(({ scenario, concurrency, figures }) =>
    figures.errors.map(({ message, count }) => `${count} x ${scenario}, ${concurrency} clients: ${message}`),
  )
  return [
    `subject   ${showFacts(subject)}`,
    ...(device ? [`device    ${showFacts(device)}`] : []),
    `requests  prompts of ${lengthWords(workload.isl)}, answers of ${lengthWords(workload.osl)}` +
      `${workload.ignoreEos ? ', ends of sequence ignored' : ''}; adapters picked ${PICK_WORDS[workload.pick]}; ` +
      `seed ${workload.seed}; ${workload.rounds} rounds`,
    '',
    textTable(HEADERS, rows),
    '',
    'Latencies are p50 / p90 / p99 over all rounds; tok/s (output tokens) and req/s are medians of the rounds.',
    ...(isSoftware ? [SOFTWARE_WARNING] : []),
    ...notes,
    ...errors,
    '',
  ].join('\n')
}

export function showFacts(facts: Readonly<Record<string, unknown>>): string {
  return Object.entries(facts)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
}

function threePercentiles(summary: Summary | null): string {
  return summary ? [summary.p50, summary.p90, summary.p99].map(showNumber).join(' / ') : '-'
}

function showFigure(value: number | undefined): string {
  return value === undefined ? '-' : showNumber(value)
}
