/** Where the time of a step goes, kernel by kernel. */
import type { Series } from '../../src/bench/report/svg.ts'
import { at, type Json, listAt, numberAt } from '../support/json.ts'
import { type Block, type Figure, MATRIX_NAMES, markdownTable, show, sourceOf } from './figure.ts'

/** Kernels below this share of every step are told together. */
const LEAST_SHARE = 0.01

interface Part {
  readonly share: number
  /** 10^9 multiply-adds a second; null where none are counted. */
  readonly gigaMacs: number | null
}

/** The profiled steps: what each kind of kernel has of them, those with the most of the first step first. */
function stepsOf(report: Json): readonly { readonly name: string; readonly parts: ReadonlyMap<string, Part> }[] {
  return Object.entries((at(report, 'steps') ?? {}) as Json).map(([name, step]) => {
    const parts = new Map<string, Part>()
    for (const each of listAt(step, 'kernels')) {
      const kind = kindOf(`${at(each, 'kernel')}`)
      const share = (parts.get(kind)?.share ?? 0) + (numberAt(each, 'share') ?? 0)
      parts.set(kind, { share, gigaMacs: numberAt(each, 'gigaMacs') })
    }
    return { name, parts }
  })
}

/** Matrices by what they are for, norms and adapters' kernels together. */
function kindOf(kernel: string): string {
  const [first = '', second = ''] = kernel.split(' ')
  if (first === 'matmul') return MATRIX_NAMES[second] ?? second
  return kernel.endsWith('norm') ? 'norms' : first
}

const REST = 'all others'

/** Kinds to tell apart, and behind them what the others come to. */
function toldApart(report: Json) {
  const steps = stepsOf(report)
  const all = [...new Set(steps.flatMap(({ parts }) => [...parts.keys()]))]
  const most = (kind: string) => Math.max(...steps.map(({ parts }) => parts.get(kind)?.share ?? 0))
  const kinds = all.filter((kind) => most(kind) >= LEAST_SHARE)
  const others = all.filter((kind) => !kinds.includes(kind))
  return {
    kinds: others.length > 0 ? [...kinds, REST] : kinds,
    steps: steps.map(({ name, parts }) => {
      const share = others.reduce((sum, kind) => sum + (parts.get(kind)?.share ?? 0), 0)
      return { name, parts: new Map([...parts, [REST, { share, gigaMacs: null }]]) }
    }),
  }
}

const profile: Figure = {
  name: 'profile',
  draw: (reports) => {
    const report = reports('profile')
    if (!report) return null
    const { kinds, steps } = toldApart(report)
    return {
      title: 'Where the time of a step goes',
      description:
        'The share of each kind of kernel in the time of three steps: one row of the base, eight rows of eight adapters, and 64 tokens of a prompt.',
      source: sourceOf(report, 'profile'),
      kind: 'bars',
      xTitle: '',
      yTitle: '% of the time of all kernels',
      categories: kinds.map((kind) => kind.replace(/ (?=(?:and )?\S+$)/, '\n')),
      series: steps.map(
        ({ name, parts }, color): Series => ({
          name,
          color,
          values: kinds.map((kind) => {
            const part = parts.get(kind)
            return part ? 100 * part.share : null
          }),
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
    const { kinds, steps } = toldApart(report)
    const table = markdownTable(
      ['share of the time (10⁹ multiply-adds a second)', ...steps.map(({ name }) => name)],
      kinds.map((kind) => [
        kind,
        ...steps.map(({ parts }) => {
          const part = parts.get(kind)
          if (!part) return ''
          return `${(100 * part.share).toFixed(1)} %${part.gigaMacs === null ? '' : ` (${show(part.gigaMacs)})`}`
        }),
      ]),
    )
    return `![Bars: shares of kernels in the time of three steps](plots/profile.svg)\n\n${table}`
  },
}

export const PROFILE_FIGURES: readonly Figure[] = [profile]
export const PROFILE_BLOCKS: readonly Block[] = [profileTable]
