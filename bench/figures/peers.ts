/** lorikeet beside other runtimes on the same device: S4, S5 and S6. */
import type { Series } from '../../src/bench/report/svg.ts'
import { at, type Json, numberAt } from '../support/json.ts'
import { bestBatch, onDevice, PEER_TASKS } from '../support/peerReaders.ts'
import { type Block, type Figure, markdownTable, show, sourceOf } from './figure.ts'

/** What each task asks for: so many times the best of the others. */
function targetOf(report: Json, key: string, times: number | null): number | null {
  if (times === null) return null
  const best = bestBatch(report, key, 'tokensPerSecondMedian')
  return best === null ? null : times * best
}

const peers: Figure = {
  name: 'peers',
  draw: (reports) => {
    const report = reports('peers')
    if (!report) return null
    const names = onDevice(report)
    const tasks = PEER_TASKS.filter(({ key }) => at(report, key))
    return {
      title: 'Beside other runtimes on the same device',
      description:
        'Tokens a second of lorikeet and of other runtimes on the same device, for decoding one stream, several streams, several adapters, and for prompts; medians.',
      source: sourceOf(report, 'peers', "Mesa's lavapipe, a software device"),
      kind: 'bars',
      xTitle: '',
      yTitle: 'tokens a second, median',
      categories: tasks.map(({ label }) => label),
      series: names.map(
        (name, color): Series => ({
          name,
          color,
          values: tasks.map(({ key }) => numberAt(report, key, name, 'tokensPerSecondMedian')),
          ...(name === 'lorikeet' && { targets: tasks.map(({ key, times }) => targetOf(report, key, times)) }),
        }),
      ),
      size: { width: 720, height: 340 },
      targetName: 'asked for',
    }
  },
}

const peersTable: Block = {
  name: 'peers',
  write: (reports) => {
    const report = reports('peers')
    if (!report) return null
    const names = Object.keys((at(report, 'runtimes') ?? {}) as Json)
    const table = markdownTable(
      ['tokens a second, median (best)', ...names],
      PEER_TASKS.filter(({ key }) => at(report, key)).map(({ name, key }) => [
        name,
        ...names.map((runtime) => {
          const [median, best] = ['tokensPerSecondMedian', 'tokensPerSecondBest'].map((figure) =>
            numberAt(report, key, runtime, figure),
          )
          return median == null ? '' : `${show(median, 1)} (${show(best ?? null, 1)})`
        }),
      ]),
    )
    return `![Bars: tokens a second of lorikeet and of other runtimes](plots/peers.svg)\n\n${table}`
  },
}

export const PEER_FIGURES: readonly Figure[] = [peers]
export const PEER_BLOCKS: readonly Block[] = [peersTable]
