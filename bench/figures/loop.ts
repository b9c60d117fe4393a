/** Running ahead of late results, and the first answer after a start: S12 and S14. */
import { at, type Json, listAt, numberAt, numbersAt } from '../support/json.ts'
import { type Block, type Figure, markdownTable, show, sourceOf } from './figure.ts'

const PLACES = [
  { name: 'null backend', keys: ['S12', 'null backend', 'rates'] },
  { name: 'lavapipe', keys: ['S12', 'device', 'rates'] },
] as const

interface Late {
  readonly place: string
  readonly delayMs: number
  /** In steps under way at once. */
  readonly depth: number
  readonly plain: number | null
  readonly ahead: number | null
  /** Of the undelayed rate, with `depth`. */
  readonly possible: number | null
  readonly ofPossible: number | null
}

function lateOf(report: Json): readonly Late[] {
  return PLACES.flatMap(({ name, keys }) => {
    const all = listAt(report, ...keys)
    return all
      .filter(({ loop }) => loop === 'ahead')
      .map((ahead) => {
        const delayMs = numberAt(ahead, 'delayMs')!
        const plain = all.find((each) => each.loop === 'plain' && each.delayMs === delayMs)
        const [rate, ofPossible] = ['rate', 'ofPossible'].map((key) => numberAt(ahead, 'median', key))
        return {
          place: name,
          delayMs,
          depth: numberAt(ahead, 'depth')!,
          plain: numberAt(plain, 'median', 'rate'),
          ahead: rate!,
          possible: rate! / ofPossible!,
          ofPossible: ofPossible!,
        }
      })
  })
}

const runAhead: Figure = {
  name: 'run-ahead',
  draw: (reports) => {
    const report = reports('run-ahead')
    if (!report) return null
    const all = lateOf(report)
    return {
      title: 'Decode rate when results come late',
      description:
        'Rates of 16 sequences with results that come 0, 10 and 100 ms late, over the rate without delay, for a loop that waits for each result and for the one that runs ahead; 0.9 of what is possible with so many steps under way is asked for.',
      source: sourceOf(report, 'run-ahead', at(report, 'S12', 'device', 'device')),
      kind: 'bars',
      xTitle: 'how late results come, and the most steps under way when running ahead',
      yTitle: 'rate over the undelayed, median',
      categories: all.map(({ place, delayMs, depth }) => `${place}\n${delayMs} ms, depth ${depth}`),
      series: [
        {
          name: 'running ahead',
          color: 0,
          values: all.map(({ ahead }) => ahead),
          targets: all.map(({ possible }) => (possible === null ? null : 0.9 * possible)),
        },
        { name: 'waiting for each result', color: 1, values: all.map(({ plain }) => plain) },
      ],
      showsValues: true,
      targetName: 'asked for: 0.9 of what is possible',
    }
  },
}

const runAheadTable: Block = {
  name: 'run-ahead',
  write: (reports) => {
    const report = reports('run-ahead')
    if (!report) return null
    return markdownTable(
      ['', 'results late by', 'waiting for each', 'running ahead', 'depth', 'share of what is possible'],
      lateOf(report).map(({ place, delayMs, plain, ahead, depth, ofPossible }) => [
        place,
        `${delayMs} ms`,
        ...[show(plain), show(ahead), `${depth}`, show(ofPossible)],
      ]),
    )
  },
}

const STAGES = [
  { label: 'port is open', key: 'listening', cold: null, warm: null },
  { label: 'first token of the base', key: 'firstToken', cold: 5, warm: 2 },
  { label: 'then the first of an adapter\n(with DoRA)', key: 'firstAdapterToken', cold: null, warm: null },
] as const

const start: Figure = {
  name: 'first-token',
  draw: (reports) => {
    const report = reports('first-token')
    if (!report) return null
    const dots = (state: string) => STAGES.map(({ key }) => numbersAt(report, state, key, 'rounds'))
    const series = (['cold', 'warm'] as const).map((state, color) => ({
      name: state === 'cold' ? 'empty driver cache, median' : 'later starts, median',
      color,
      values: STAGES.map(({ key }) => numberAt(report, state, key, 'median')),
      targets: STAGES.map((stage) => stage[state]),
      dots: dots(state).some(({ length }) => length > 0)
        ? dots(state)
        : STAGES.map(({ key }) => [numberAt(report, state, key, 'best') ?? 0]),
    }))
    return {
      title: 'From the start of the process to the first answer',
      description:
        'Seconds from the start of lorikeet serve with the model that comes along until it listens, until the first token of the base, and from there until the first token of an adapter.',
      source: sourceOf(report, 'first-token', "Mesa's lavapipe, a software device"),
      kind: 'bars',
      xTitle: '',
      yTitle: 'seconds',
      categories: STAGES.map(({ label }) => label),
      series,
      showsValues: true,
      targetName: 'asked for, at most',
      dotName: dots('cold').some(({ length }) => length > 0) ? 'single rounds' : 'best round',
    }
  },
}

export const LOOP_FIGURES: readonly Figure[] = [runAhead, start]
export const LOOP_BLOCKS: readonly Block[] = [runAheadTable]
