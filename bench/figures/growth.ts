/** How a step grows with its rows and its context: S8 and S15. */
import type { Series } from '../../src/bench/report/svg.ts'
import { at, type Json, numberAt } from '../support/json.ts'
import { type Block, type Figure, markdownTable, show, sourceOf } from './figure.ts'

/** Rows, or tokens of context, fewest first. */
function stepsOf(report: Json, key: string): readonly string[] {
  return Object.keys((at(report, key) ?? {}) as Json).sort((one, other) => Number(one) - Number(other))
}

const ROWS = 'S8 rows per step'
const CONTEXT = 'S15 context'

/** Tokens a second from milliseconds of a step: reports of every age have those. */
const RATES = [
  { name: 'best', key: 'msBest' },
  { name: 'median', key: 'msMedian' },
  { name: 'by CPU time, median', key: 'cpuMs' },
] as const

function rate(report: Json, rows: string, key: string): number | null {
  const ms = numberAt(report, ROWS, rows, key)
  return ms === null ? null : (1000 * Number(rows)) / ms
}

const rows: Figure = {
  name: 'rows',
  draw: (reports) => {
    const report = reports('scaling')
    if (!report) return null
    const steps = stepsOf(report, ROWS)
    return {
      title: 'Throughput by rows of a step',
      description:
        'Tokens a second of decoding steps with 1 to 32 rows. It should never fall, and 16 rows should have twice the rate of one.',
      source: sourceOf(report, 'scaling'),
      kind: 'lines',
      xTitle: 'rows of a step, each with 64 tokens of context',
      yTitle: 'tokens a second',
      categories: steps,
      series: RATES.map(
        ({ name, key }, color): Series => ({
          name: key === 'cpuMs' ? 'a second of CPU time, median' : name,
          color,
          values: steps.map((each) => rate(report, each, key)),
        }),
      ),
    }
  },
}

const rowsTable: Block = {
  name: 'rows',
  write: (reports) => {
    const report = reports('scaling')
    if (!report) return null
    const steps = stepsOf(report, ROWS)
    return markdownTable(
      ['rows of a step', ...steps],
      [
        ['tokens a second, best', 'msBest'],
        ['median', 'msMedian'],
        ['tokens a second of CPU time', 'cpuMs'],
      ].map(([name, key]) => [name!, ...steps.map((each) => show(rate(report, each, key!), 1))]),
    )
  },
}

const context: Figure = {
  name: 'context',
  draw: (reports) => {
    const report = reports('scaling')
    if (!report) return null
    const steps = stepsOf(report, CONTEXT)
    return {
      title: 'Time of a step by context',
      description:
        'Milliseconds of a decoding step with one row, by the tokens before it. Only attention grows with them: the lines should be straight.',
      source: sourceOf(report, 'scaling'),
      kind: 'lines',
      xTitle: 'tokens of context',
      yTitle: 'milliseconds a step',
      categories: steps.map((each) => Number(each).toLocaleString('en-US')),
      positions: steps.map(Number),
      series: RATES.map(
        ({ name, key }, color): Series => ({
          name,
          color,
          values: steps.map((each) => numberAt(report, CONTEXT, each, key)),
        }),
      ),
    }
  },
}

const contextTable: Block = {
  name: 'context',
  write: (reports) => {
    const report = reports('scaling')
    if (!report) return null
    const steps = stepsOf(report, CONTEXT)
    return markdownTable(
      ['tokens of context', ...steps.map((each) => Number(each).toLocaleString('en-US'))],
      [
        ['ms a step, best', 'msBest'],
        ['median', 'msMedian'],
        ['CPU time', 'cpuMs'],
      ].map(([name, key]) => [name!, ...steps.map((each) => show(numberAt(report, CONTEXT, each, key!), 1))]),
    )
  },
}

export const GROWTH_FIGURES: readonly Figure[] = [rows, context]
export const GROWTH_BLOCKS: readonly Block[] = [rowsTable, contextTable]
