/** The table of all lines: what was asked for, what was found, and whether that is enough. */
import { showNumber } from '../../src/bench/report/axis.ts'
import type { Json } from './json.ts'
import type { Aim, Line } from './lines.ts'
import { PIECES } from './pieces.ts'
import type { Found } from './readers.ts'

export const LINE_HEADERS = ['', 'measure', 'asked for', 'best', 'median', 'CPU time', 'verdict', 'script'] as const

/** The report of a piece; why there is none; undefined where it was not run. */
export type Reported = Json | string | undefined

/** The cells of a line, as LINE_HEADERS. */
export function lineCells(line: Line, reported: Reported): readonly string[] {
  const found: Found = typeof reported === 'object' ? line.read(reported) : {}
  const { exact, best, median, cpu } = found
  const show = (value: number | null | undefined): string => (value == null ? '' : showFigure(value, line.unit))
  return [
    line.line,
    line.measure,
    askedFor(line),
    show(best),
    show(exact ?? median),
    show(cpu),
    typeof reported === 'string' ? `failed: ${reported}` : verdict(line, found),
    scriptOf(line, reported),
  ]
}

function askedFor({ aim, unit = '' }: Line): string {
  if (!aim) return 'stated'
  const [sign, value] = 'least' in aim ? ['>= ', aim.least] : 'most' in aim ? ['<= ', aim.most] : ['', aim.exactly]
  return `${sign}${value} ${unit}`.trim()
}

/** Whether the figures reach what is asked for: all, none, or only those named. */
export function verdict({ aim }: Pick<Line, 'aim'>, { exact, best, median, cpu }: Found): string {
  const figures: readonly (readonly [string, number | null | undefined])[] = [
    ['in all', exact],
    ['at best', best],
    ['in the median', median],
    ['by CPU time', cpu],
  ]
  const there = figures.flatMap(([name, value]) => (value == null ? [] : [{ name, value }]))
  if (there.length === 0) return 'not measured here'
  if (!aim) return 'stated'
  const met = there.filter(({ value }) => isMet(aim, rounded(value)))
  if (met.length === 0) return 'short'
  return met.length === there.length ? 'met' : `met ${met.map(({ name }) => name).join(' and ')}`
}

function isMet(aim: Aim, value: number): boolean {
  if ('least' in aim) return value >= aim.least
  return 'most' in aim ? value <= aim.most : value === aim.exactly
}

/** As it is shown: what reads 0.90 is 0.90. */
function rounded(value: number): number {
  return Number(value.toFixed(2))
}

function showFigure(value: number, unit: string | undefined): string {
  if (unit) return `${showNumber(value)} ${unit}`
  return Number.isInteger(value) || Math.abs(value) >= 100 ? showNumber(value) : value.toFixed(2)
}

/** One that is run by hand is named with what it found. */
function scriptOf({ piece }: Line, reported: Reported): string {
  const found = PIECES.find(({ name }) => name === piece)
  return found && (reported !== undefined || !found.isByHand) ? `bench/${found.script}.ts` : ''
}
