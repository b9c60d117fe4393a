/** Where the time of a step goes, kernel by kernel. */
import type { Series } from '../../src/bench/report/svg.ts'
import { at, type Json, listAt, numberAt } from '../support/json.ts'
import { type Block, type Figure, markdownTable, show, sourceOf } from './figure.ts'

/** Kinds of kernels below this share of every step are told together. */
const LEAST_SHARE = 0.02
const MOST_KERNELS = 6

/** The steps that were profiled, by name. */
function stepsOf(report: Json): readonly (readonly [name: string, step: Json])[] {
  return Object.entries((at(report, 'steps') ?? {}) as Readonly<Record<string, Json>>)
}

function sharesOf(step: Json): Readonly<Record<string, number>> {
  return (at(step, 'shares') ?? {}) as Readonly<Record<string, number>>
}

const profile: Figure = {
  name: 'profile',
  draw: (reports) => {
    const report = reports('profile')
    if (!report) return null
    const steps = stepsOf(report)
    const all = [...new Set(steps.flatMap(([, step]) => Object.keys(sharesOf(step))))]
    const kinds = all.filter((kind) => steps.some(([, step]) => (sharesOf(step)[kind] ?? 0) >= LEAST_SHARE))
    const rest = (step: Json) =>
      all.filter((kind) => !kinds.includes(kind)).reduce((sum, kind) => sum + (sharesOf(step)[kind] ?? 0), 0)
    return {
      title: 'Where the time of a step goes',
      description:
        'The share of each kind of kernel in the time of three steps: one row of the base, eight rows of eight adapters, and a prompt of 64 tokens.',
      source: sourceOf(report, 'profile'),
      kind: 'bars',
      xTitle: 'kernels',
      yTitle: '% of the time of all kernels',
      categories: [...kinds, ...(all.length > kinds.length ? ['all others'] : [])],
      series: steps.map(
        ([name, step], color): Series => ({
          name,
          color,
          values: [
            ...kinds.map((kind) => (kind in sharesOf(step) ? Math.round(1000 * sharesOf(step)[kind]!) / 10 : null)),
            ...(all.length > kinds.length ? [Math.round(1000 * rest(step)) / 10] : []),
          ],
        }),
      ),
    }
  },
}

const profileTable: Block = {
  name: 'profile',
  write: (reports) => {
    const report = reports('profile')
    if (!report) return null
    const tables = stepsOf(report).map(([name, step]) => {
      const rows = listAt(step, 'kernels')
        .slice(0, MOST_KERNELS)
        .map((kernel) => [
          `${at(kernel, 'kernel')}`,
          `${numberAt(kernel, 'calls')}`,
          show(numberAt(kernel, 'usPerCall', 'best'), 0),
          show(numberAt(kernel, 'usPerCall', 'median'), 0),
          `${Math.round(100 * (numberAt(kernel, 'share') ?? 0))} %`,
          show(numberAt(kernel, 'gigaMacs')),
        ])
      return markdownTable(
        [`${name}: ${numberAt(step, 'dispatches')} dispatches`, 'calls', 'us, best', 'median', 'share', '10⁹ mac/s'],
        rows,
      )
    })
    return ['![Bars: shares of kernels in the time of three steps](plots/profile.svg)', ...tables].join('\n\n')
  },
}

export const PROFILE_FIGURES: readonly Figure[] = [profile]
export const PROFILE_BLOCKS: readonly Block[] = [profileTable]
