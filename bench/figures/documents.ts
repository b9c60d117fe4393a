/** All that is made of the reports under docs/perf/: the plots, and docs/performance.md with its tables. */
import { svgFile } from '../../src/bench/report/svgFile.ts'
import type { Json } from '../support/json.ts'
import { LINES } from '../support/lines.ts'
import { LINE_HEADERS, lineCells } from '../support/lineTable.ts'
import { ADAPTER_BLOCKS, ADAPTER_FIGURES } from './adapters.ts'
import { type Block, type Figure, markdownTable, type Reports } from './figure.ts'
import { GROWTH_BLOCKS, GROWTH_FIGURES } from './growth.ts'
import { LOOP_BLOCKS, LOOP_FIGURES } from './loop.ts'
import { PEER_BLOCKS, PEER_FIGURES } from './peers.ts'
import { PRICE_BLOCKS, PRICE_FIGURES } from './prices.ts'
import { PROFILE_BLOCKS, PROFILE_FIGURES } from './profile.ts'

export const PERFORMANCE = 'docs/performance.md'
export const PLOTS = 'docs/plots'
export const REPORTS = 'docs/perf'

const FIGURES: readonly Figure[] = [
  ...PRICE_FIGURES,
  ...PEER_FIGURES,
  ...PROFILE_FIGURES,
  ...GROWTH_FIGURES,
  ...ADAPTER_FIGURES,
  ...LOOP_FIGURES,
]

/** All lines; each links its section where it is named first. */
const linesTable: Block = {
  name: 'lines',
  write: (reports) => {
    const rows = LINES.map((line, i) => {
      const [name = '', ...cells] = lineCells(line, reports(line.piece) ?? undefined)
      const script = cells.pop()
      const isFirst = LINES.findIndex((each) => each.line === line.line) === i
      return [isFirst ? `[${name}](#${line.section})` : name, ...cells, script ? `\`${script}\`` : '']
    })
    return markdownTable(LINE_HEADERS, rows, 'lllrrrll')
  },
}

const BLOCKS: readonly Block[] = [
  linesTable,
  ...PRICE_BLOCKS,
  ...PEER_BLOCKS,
  ...PROFILE_BLOCKS,
  ...GROWTH_BLOCKS,
  ...ADAPTER_BLOCKS,
  ...LOOP_BLOCKS,
]

/** The text of every file, by its path. `performance` is the document as it is. */
export function documentsOf(readText: (path: string) => string | null): ReadonlyMap<string, string> {
  const reports: Reports = (piece) => {
    const text = readText(`${REPORTS}/${piece}.json`)
    return text === null ? null : (JSON.parse(text) as Json)
  }
  const plots = FIGURES.flatMap(({ name, draw }) => {
    const plot = draw(reports)
    return plot ? [[`${PLOTS}/${name}.svg`, svgFile(plot)] as const] : []
  })
  const performance = BLOCKS.reduce((text, block) => filled(text, block, reports), readText(PERFORMANCE) ?? '')
  return new Map([...plots, [PERFORMANCE, performance]])
}

/** The text with a block's table between its marks. */
function filled(text: string, { name, write }: Block, reports: Reports): string {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [from, to] = [text.indexOf(open), text.indexOf(close)]
  if (from < 0 || to < from) throw new Error(`${PERFORMANCE} has no ${open} … ${close}`)
  const table = write(reports)
  return table === null ? text : `${text.slice(0, from + open.length)}\n${table}\n${text.slice(to)}`
}
