/** The price of mixing, of adapters that nobody uses, and how far a step is from its device: S1, S2, S3 and S7. */
import { at, type Json, numberAt, numbersAt } from '../support/json.ts'
import { type Block, type Figure, MATRIX_NAMES, markdownTable, show, sourceOf } from './figure.ts'

const PRICES = [
  {
    label: 'S1\nrank 16',
    name: 'S1: 8 rows of 8 adapters of rank 16 over 8 base rows',
    piece: 'mixing',
    key: 'S1 decode, 8 rows of 8 adapters r=16',
    target: 0.9,
  },
  {
    label: 'S1\nrank 64',
    name: 'S1: the same with rank 64',
    piece: 'mixing',
    key: 'S1 decode, 8 rows of 8 adapters r=64',
    target: 0.75,
  },
  {
    label: 'S3\nprefill, rank 16',
    name: 'S3: prefill of 8 x 64 tokens of 8 adapters of rank 16',
    piece: 'mixing-prefill',
    key: 'S3 prefill',
    target: 0.95,
  },
  {
    label: 'S2\n100 idle adapters',
    name: 'S2: base rows beside 100 idle adapters',
    piece: 'residents',
    key: 'S2 base step',
    target: 1,
  },
  {
    label: 'for comparison:\ntwo equal runtimes',
    name: 'for comparison: two runtimes without adapters',
    piece: 'residents',
    key: 'the same of two',
    target: null,
  },
] as const

const prices: Figure = {
  name: 'prices',
  draw: (reports) => {
    const mixing = reports('mixing')
    if (!mixing) return null
    const figure = (key: string) => PRICES.map((each) => numberAt(reports(each.piece), each.key, key))
    const rounds = (key: string) => PRICES.map((each) => numbersAt(reports(each.piece), each.key, key))
    const targets = PRICES.map(({ target }) => target)
    return {
      title: 'The price of adapters',
      description:
        'Rates of steps with adapters over the rates of the same steps without, medians as bars and single rounds as dots, beside what is asked for.',
      source: sourceOf(mixing, 'mixing').replace('mixing.json', 'mixing.json, mixing-prefill.json, residents.json'),
      kind: 'bars',
      xTitle: '',
      yTitle: 'rate over that of base rows',
      categories: PRICES.map(({ label }) => label),
      series: [
        { name: 'by wall time, median', color: 0, values: figure('wallMedian'), dots: rounds('wallRounds'), targets },
        { name: 'by CPU time, median', color: 1, values: figure('cpuMedian'), dots: rounds('cpuRounds'), targets },
      ],
      showsValues: true,
      targetName: 'asked for, at least',
      ...(rounds('wallRounds').some(({ length }) => length > 0) && { dotName: 'single rounds' }),
    }
  },
}

const pricesTable: Block = {
  name: 'prices',
  write: (reports) =>
    markdownTable(
      ['', 'best', 'median', 'by CPU time', 'asked for'],
      PRICES.map(({ name, piece, key, target }) => [
        name,
        ...['wallBest', 'wallMedian', 'cpuMedian'].map((figure) => show(numberAt(reports(piece), key, figure))),
        target === null ? '' : show(target),
      ]),
    ),
}

function ratesOf(
  report: Json,
  of: string,
): readonly { readonly name: string; readonly shape: string; readonly rate: number }[] {
  return Object.entries((at(report, of, 'ratesAlone') ?? {}) as Readonly<Record<string, number>>).map(
    ([shape, rate]) => {
      const [matrix = '', inputs = '', , outputs = ''] = shape.split(' ')
      return { name: MATRIX_NAMES[matrix] ?? matrix, shape: `${inputs} x ${outputs}`, rate }
    },
  )
}

const distance: Figure = {
  name: 'distance',
  draw: (reports) => {
    const report = reports('distance')
    if (!report) return null
    const rates = (of: string) => ratesOf(report, of)
    const [best, median] = ['best', 'median'].map((of) => ({
      values: [numberAt(report, of, 'rateOfStep'), ...rates(of).map(({ rate }) => rate)],
      targets: [0.8 * Math.max(...rates(of).map(({ rate }) => rate)), ...rates(of).map(() => null)],
    }))
    return {
      title: 'A step of one row, and its matrices alone',
      description:
        'Weights a second of a whole step with one row, and of each of its matrices when nothing else runs. A step should have 0.8 of the best of them.',
      source: sourceOf(report, 'distance'),
      kind: 'bars',
      xTitle: '',
      yTitle: '10⁹ weights a second',
      categories: ['whole step', ...rates('best').map(({ name, shape }) => `${name}\n${shape}`)],
      series: [
        { name: 'best', color: 0, ...best! },
        { name: 'median', color: 1, ...median! },
      ],
      showsValues: true,
      targetName: 'asked for: 0.8 of the best matrix',
    }
  },
}

const distanceTable: Block = {
  name: 'distance',
  write: (reports) => {
    const report = reports('distance')
    if (!report) return null
    const both = (...keys: readonly string[]) => ['best', 'median'].map((of) => show(numberAt(report, of, ...keys)))
    const median = ratesOf(report, 'median')
    return markdownTable(
      ['10⁹ weights a second', 'best', 'median'],
      [
        ['the step', ...both('rateOfStep')],
        ...ratesOf(report, 'best').map(({ name, shape, rate }, i) => [
          `${name} (${shape})`,
          show(rate),
          show(median[i]!.rate),
        ]),
        ['**S7: the step over the best of them**', ...both('S7 of the best').map((text) => `**${text}**`)],
        ['the step over all of them in turn', ...both('S7 of all')],
      ],
    )
  },
}

export const PRICE_FIGURES: readonly Figure[] = [prices, distance]
export const PRICE_BLOCKS: readonly Block[] = [pricesTable, distanceTable]
