/** Many adapters, and cold ones: S9 and S10. */
import { at, type Json, numberAt, numbersAt } from '../support/json.ts'
import { type Block, type Figure, markdownTable, show, sourceOf } from './figure.ts'

const LOADS = [
  { label: '4 adapters', name: '4 adapters', key: 'S9 4 adapters', target: null },
  { label: '32 hot', name: '32 hot', key: 'S9 32 hot', target: 0.95 },
  {
    label: '32 hot take 4/5,\nthe others 1/5',
    name: '32 hot take four fifths, the rest go to the others',
    key: 'S9 32 hot with four fifths',
    target: null,
  },
  {
    label: '200 hot take 4/5,\nthe others 1/5',
    name: '200 hot take four fifths',
    key: 'S9 200 hot with four fifths',
    target: null,
  },
] as const

const MODELS = [
  { name: 'tiny model', piece: 'many-adapters-tiny' },
  { name: 'aviary', piece: 'many-adapters-aviary' },
] as const

/** Each round's throughput over that of the same round with 4 adapters. */
function against4(report: Json | null, key: string): readonly number[] {
  const few = numbersAt(report, LOADS[0].key, 'tokensPerSecond', 'rounds')
  return numbersAt(report, key, 'tokensPerSecond', 'rounds').map((rate, i) => rate / few[i]!)
}

const many: Figure = {
  name: 'many-adapters',
  draw: (reports) => {
    const there = MODELS.filter(({ piece }) => reports(piece))
    if (there.length === 0) return null
    const registered = (piece: string) => numberAt(reports(piece), 'registered')?.toLocaleString('en-US')
    const series = there.map(({ name, piece }, color) => {
      const report = reports(piece)
      const dots = LOADS.map(({ key }) => against4(report, key))
      return {
        name: `${name}, ${registered(piece)} adapters`,
        color,
        values: LOADS.map(({ key }) => numberAt(report, key, 'against4', 'median')),
        targets: LOADS.map(({ target }) => target),
        // One round is its own median.
        ...(dots[0]!.length > 1 && { dots }),
      }
    })
    return {
      title: 'Throughput by how many adapters are asked for',
      description:
        'Tokens a second of 48 clients with room for 32 adapters on the GPU, over those of the same load on 4 adapters, by which adapters the requests ask for.',
      source: sourceOf(reports(there[0]!.piece)!, 'many-adapters-*'),
      kind: 'bars',
      xTitle: 'adapters that requests ask for; the GPU has room for 32',
      yTitle: 'tokens a second over those with 4',
      categories: LOADS.map(({ label }) => label),
      series,
      showsValues: true,
      targetName: 'asked for, at least',
      ...(series.some(({ dots }) => dots) && { dotName: 'single rounds' }),
    }
  },
}

const manyTable: Block = {
  name: 'many-adapters',
  write: (reports) => {
    const cells = (piece: string, key: string) => {
      const report = reports(piece)
      const figure = (...keys: readonly string[]) => numberAt(report, key, ...keys)
      const megabytes = (name: string) => `${Math.round((figure(name) ?? 0) / 1e6)} MB`
      const moved = (figure('missesPerRequest') ?? 0) > 0.005
      return [
        ...[figure('against4', 'best'), figure('against4', 'median'), figure('cpuAgainst4')].map((each) => show(each)),
        ...(moved
          ? [
              show(figure('missesPerRequest')),
              `${show(figure('uploadsPerRequest'))} (${megabytes('uploadedBytes')})`,
              `${show(figure('readsPerRequest'))} (${megabytes('readBytes')})`,
            ]
          : ['0', '0', '0']),
      ]
    }
    return markdownTable(
      [
        'model',
        'requests ask for',
        'best',
        'median',
        'by CPU time',
        'misses a request',
        'uploads (a round)',
        'reads (a round)',
      ],
      MODELS.flatMap(({ name, piece }) => LOADS.slice(1).map((load) => [name, load.name, ...cells(piece, load.key)])),
      'llrrrrrr',
    )
  },
}

const ARRIVALS = [
  { label: 'from host memory', key: 'S10 extra delay' },
  { label: 'from files', key: 'S10 the same when' },
] as const

const cold: Figure = {
  name: 'cold-adapter',
  draw: (reports) => {
    const report = reports('cold-adapter')
    if (!report) return null
    const dots = ARRIVALS.map(({ key }) => {
      const rounds = numbersAt(report, key, 'rounds')
      return rounds.length > 0 ? rounds : ['best', 'worst'].flatMap((end) => numberAt(report, key, end) ?? [])
    })
    const hasRounds = at(report, ARRIVALS[0].key, 'rounds') !== undefined
    return {
      title: 'What a cold adapter costs those who run',
      description:
        'The longest time between two results of 8 running sequences while an adapter comes to the GPU, less the usual time, in steps. At most one is asked for; below 0 lies noise.',
      source: sourceOf(report, 'cold-adapter'),
      kind: 'bars',
      xTitle: `where the adapter is: rank ${at(report, 'rank')}, ${((numberAt(report, 'adapterBytes') ?? 0) / 1e6).toFixed(1)} MB`,
      yTitle: 'extra delay, in steps',
      categories: ARRIVALS.map(({ label }) => label),
      series: [{ name: 'median', color: 0, values: ARRIVALS.map(({ key }) => numberAt(report, key, 'median')), dots }],
      mark: 1,
      showsValues: true,
      targetName: 'asked for, at most',
      dotName: hasRounds ? 'single rounds' : 'best and worst round',
    }
  },
}

export const ADAPTER_FIGURES: readonly Figure[] = [many, cold]
export const ADAPTER_BLOCKS: readonly Block[] = [manyTable]
