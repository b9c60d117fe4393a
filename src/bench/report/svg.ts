/**
 * Plots as SVG text: lines over a few equal steps, and bars. Colours are CSS variables of the page around them, so one
 * text serves light and dark.
 */

export interface Series {
  readonly name: string
  /** By category; null where nothing was measured. */
  readonly values: readonly (number | null)[]
  /** Which of the page's colours: equal ones belong together. */
  readonly color: number
}

export interface Chart {
  readonly title: string
  readonly xTitle: string
  /** With its unit. */
  readonly yTitle: string
  readonly categories: readonly string[]
  readonly series: readonly Series[]
  readonly kind: 'lines' | 'bars'
  /** A value to hold the others against: a line across. */
  readonly mark?: number
}

const WIDTH = 460
const HEIGHT = 270
const LEFT = 58
const RIGHT = 14
const TOP = 12
const BOTTOM = 44
const MOST_STEPS = 5
/** Colours the page defines. */
export const NUM_COLORS = 6

/** An `<svg>` element. */
export function chartSvg(chart: Chart): string {
  const ticks = ticksFor(
    Math.max(0, chart.mark ?? 0, ...chart.series.flatMap(({ values }) => values.map((value) => value ?? 0))),
  )
  const top = ticks.at(-1)!
  const y = (value: number): number => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM)
  const slot = (WIDTH - LEFT - RIGHT) / chart.categories.length
  const x = (index: number): number => LEFT + (index + 0.5) * slot
  const body = chart.kind === 'lines' ? chart.series.map((one) => line(chart, one, x, y)) : bars(chart, slot, x, y)
  const label = `${chart.title}: ${chart.yTitle} by ${chart.xTitle}`
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeXml(label)}">`,
    ...gridLines(ticks, y),
    ...chart.categories.map((name, i) => text(name, x(i), HEIGHT - BOTTOM + 16, 'middle')),
    text(chart.xTitle, LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 8, 'middle', 'title'),
    `<text class="title" text-anchor="middle" transform="translate(13 ${r((TOP + HEIGHT - BOTTOM) / 2)}) rotate(-90)">${escapeXml(chart.yTitle)}</text>`,
    ...body,
    ...(chart.mark === undefined ? [] : [`<path class="mark" d="M${LEFT} ${r(y(chart.mark))}H${WIDTH - RIGHT}"/>`]),
    '</svg>',
  ].join('\n')
}

/** A legend for the page, in HTML: one entry for each series. */
export function legend(series: readonly Series[]): string {
  const entries = series.map(({ name, color }) => {
    const swatch = `<svg viewBox="0 0 22 8" aria-hidden="true"><path class="c${color % NUM_COLORS}" d="M1 4H21"/></svg>`
    return `<li>${swatch}${escapeXml(name)}</li>`
  })
  return `<ul class="legend">${entries.join('')}</ul>`
}

function gridLines(ticks: readonly number[], y: (value: number) => number): string[] {
  return ticks.flatMap((value) => [
    `<path class="grid" d="M${LEFT} ${r(y(value))}H${WIDTH - RIGHT}"/>`,
    text(showNumber(value), LEFT - 6, y(value) + 4, 'end'),
  ])
}

function line(chart: Chart, series: Series, x: (index: number) => number, y: (value: number) => number): string {
  const points = series.values.flatMap((value, i) => (value === null ? [] : [{ i, value }]))
  const path = points.map(({ i, value }, n) => `${n ? 'L' : 'M'}${r(x(i))} ${r(y(value))}`).join('')
  const dots = points.map(({ i, value }) => {
    const tip = `${series.name}, ${chart.categories[i]} ${chart.xTitle}: ${showNumber(value)}`
    return `<circle cx="${r(x(i))}" cy="${r(y(value))}" r="3"><title>${escapeXml(tip)}</title></circle>`
  })
  return `<g class="c${series.color % NUM_COLORS}"><path d="${path}"/>${dots.join('')}</g>`
}

function bars(chart: Chart, slot: number, x: (index: number) => number, y: (value: number) => number): string[] {
  const width = (slot * 0.8) / chart.series.length
  return chart.series.map((series, n) => {
    const rects = series.values.map((value, i) => {
      if (value === null) return ''
      const left = x(i) - slot * 0.4 + n * width
      const tip = `${series.name}, ${chart.categories[i]} ${chart.xTitle}: ${showNumber(value)}`
      return `<rect x="${r(left)}" y="${r(y(value))}" width="${r(width * 0.92)}" height="${r(y(0) - y(value))}"><title>${escapeXml(tip)}</title></rect>`
    })
    return `<g class="c${series.color % NUM_COLORS}">${rects.join('')}</g>`
  })
}

function text(content: string, x: number, y: number, anchor: string, style = 'tick'): string {
  return `<text class="${style}" x="${r(x)}" y="${r(y)}" text-anchor="${anchor}">${escapeXml(content)}</text>`
}

/** Round numbers from 0 to the first that is not below `value`: four to six of them. */
export function ticksFor(value: number): readonly number[] {
  if (!(value > 0)) return [0, 1]
  const rough = value / MOST_STEPS
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 2.5, 5, 10].find((lead) => lead * power >= rough * (1 - 1e-9))! * power
  return Array.from({ length: Math.ceil(value / step - 1e-9) + 1 }, (_, i) => i * step)
}

/** Three significant digits, without an exponent where people expect none. */
export function showNumber(value: number): string {
  if (value === 0) return '0'
  if (Math.abs(value) >= 1e6) return `${showNumber(value / 1e6)}M`
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  return `${Number(value.toPrecision(3))}`
}

export function escapeXml(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** A coordinate, short. */
function r(value: number): string {
  return `${Number(value.toFixed(1))}`
}
