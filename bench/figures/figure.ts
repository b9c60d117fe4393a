/** What docs/performance.md shows of the reports under docs/perf/: plots, and tables between two marks in its text. */
import { showNumber } from '../../src/bench/report/axis.ts'
import type { Plot } from '../../src/bench/report/svgFile.ts'
import { at, type Json } from '../support/json.ts'

/** The report of a piece (bench/support/pieces.ts); null where there is none. */
export type Reports = (piece: string) => Json | null

export interface Figure {
  /** Of the file under docs/plots/, without its ending. */
  readonly name: string
  /** Null where there is no report to draw. */
  readonly draw: (reports: Reports) => Plot | null
}

/** A table of the document, between `<!-- name -->` and `<!-- /name -->`. */
export interface Block {
  readonly name: string
  readonly write: (reports: Reports) => string | null
}

/** Markdown. `align` has a letter for each column: l or r. Default: the first to the left, numbers to the right. */
export function markdownTable(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  align: string = `l${'r'.repeat(headers.length - 1)}`,
): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.join(' | ')} |`.replaceAll('|  |', '| |').replaceAll('|  |', '| |')
  const rule = `|${[...align].map((side) => (side === 'l' ? '---' : '---:')).join('|')}|`
  return [line(headers), rule, ...rows.map(line)].join('\n')
}

/** Where a plot's numbers are from. */
export function sourceOf(report: Json, piece: string, device: unknown = at(report, 'device')): string {
  const isLavapipe = typeof device === 'string' && device.includes('llvmpipe')
  const on = isLavapipe ? "Mesa's lavapipe, a software device" : device
  return [`docs/perf/${piece}.json`, ...(typeof on === 'string' ? [on] : [])].join(' · ')
}

export function show(value: number | null, digits = 2): string {
  if (value === null) return ''
  return Math.abs(value) < 10 ? value.toFixed(digits) : showNumber(value)
}

/** Matrices of a layer by what they are for. */
export const MATRIX_NAMES: Readonly<Record<string, string>> = {
  attn_in: 'q, k and v',
  attn_out: 'attention out',
  mlp_in: 'gate and up',
  mlp_out: 'down',
  lm_head: 'lm_head',
}
