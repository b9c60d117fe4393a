/**
 * Plots as SVG text: lines over steps or numbers, and bars, with targets across and single rounds as dots. Colours are CSS
 * variables of the page or file around them, so one text serves light and dark.
 */
import { type Axis, axisFor, showNumber } from './axis.ts'

export interface Series {
  readonly name: string
  /** By category; null where nothing was measured. */
  readonly values: readonly (number | null)[]
  /** Which of the page's colours: equal ones belong together. */
  readonly color: number
  /** By category: what a value is held against, drawn across its bar. */
  readonly targets?: readonly (number | null)[]
  /** By category: from where to where its single rounds went, a thin stroke beside the line. */
  readonly ranges?: readonly (readonly [number, number] | null)[]
  /** By category: what the value is the middle or the best of, one dot each. */
  readonly dots?: readonly (readonly number[])[]
}

export interface Chart {
  readonly title: string
  readonly xTitle: string
  /** What a category counts, where a tip names it: 'clients'. */
  readonly xUnit?: string
  /** With its unit. */
  readonly yTitle: string
  readonly categories: readonly string[]
  readonly series: readonly Series[]
  readonly kind: 'lines' | 'bars'
  /** A value to hold the others against: a line across. */
  readonly mark?: number
  /** Where the categories lie on a scale of numbers, which begins at 0. Default: at equal steps. */
  readonly positions?: readonly number[]
  /** Writes the value on each bar and beside the last dot of each line. Default false. */
  readonly showsValues?: boolean
  readonly size?: Size
}

export interface Size {
  readonly width: number
  readonly height: number
}

const SIZE: Size = { width: 460, height: 270 }
const LEFT = 58
const RIGHT = 14
const TOP = 12
const BOTTOM = 44
/** Of the axis titles and of a tick's text, from what they stand beside. */
const LINE = 15
/** Share of a category's place that its bars take, and the widest that one is. */
const BARS = 0.8
const WIDEST_BAR = 84
/** Of a value on the foot of a bar, with what is around it. */
const LABEL = 20
/** Colours the page defines. */
export const NUM_COLORS = 6

/** Where things lie. */
interface Frame {
  readonly size: Size
  readonly right: number
  readonly bottom: number
  readonly axis: Axis
  /** The width of a category's place. */
  readonly slot: number
  x(index: number): number
  y(value: number): number
}

/** An `<svg>` element. */
export function chartSvg(chart: Chart): string {
  const { width, height } = chart.size ?? SIZE
  const label = `${chart.title}: ${chart.yTitle} by ${chart.xTitle}`
  return [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(label)}">`,
    ...chartBody(chart),
    '</svg>',
  ].join('\n')
}

/** What stands in the element, for one that has more. */
export function chartBody(chart: Chart): string[] {
  const frame = frameOf(chart)
  const { right, bottom, size, x, y } = frame
  const body = chart.kind === 'lines' ? chart.series.map((one) => line(chart, one, frame)) : bars(chart, frame)
  return [
    ...frame.axis.ticks.flatMap((value) => [
      `<path class="${value === 0 ? 'axis' : 'grid'}" d="M${LEFT} ${r(y(value))}H${right}"/>`,
      text(showNumber(value), LEFT - 6, y(value) + 4, 'end'),
    ]),
    ...chart.categories.flatMap((name, i) =>
      name.split('\n').map((part, n) => text(part, x(i), bottom + LINE * (n + 1) + 1, 'middle')),
    ),
    ...(chart.xTitle ? [text(chart.xTitle, (LEFT + right) / 2, size.height - 8, 'middle', 'title')] : []),
    `<text class="title" text-anchor="middle" transform="translate(13 ${r((TOP + bottom) / 2)}) rotate(-90)">${escapeXml(chart.yTitle)}</text>`,
    ...body,
    ...(chart.mark === undefined ? [] : [`<path class="mark" d="M${LEFT} ${r(y(chart.mark))}H${right}"/>`]),
  ]
}

/** A legend for the page, in HTML: one entry for each series. */
export function legend(series: readonly Series[]): string {
  const entries = series.map(({ name, color }) => {
    const swatch = `<svg viewBox="0 0 22 10" aria-hidden="true">${swatchOf(color, 11, 5)}</svg>`
    return `<li>${swatch}${escapeXml(name)}</li>`
  })
  return `<ul class="legend">${entries.join('')}</ul>`
}

/** A piece of a series' line with its shape, 20 wide. */
export function swatchOf(color: number, x: number, y: number): string {
  return `<g class="c${color % NUM_COLORS}"><path d="M${x - 10} ${y}H${x + 10}"/>${shape(color, x, y)}</g>`
}

function frameOf(chart: Chart): Frame {
  const size = chart.size ?? SIZE
  const lines = Math.max(1, ...chart.categories.map((name) => name.split('\n').length))
  const below = BOTTOM + LINE * (lines - (chart.xTitle ? 1 : 2))
  const [right, bottom] = [size.width - RIGHT, size.height - below]
  const all = chart.series.flatMap(({ values, targets = [], dots = [], ranges = [] }) => [
    ...values,
    ...targets,
    ...dots.flat(),
    ...ranges.map((range) => range?.[1] ?? null),
  ])
  const axis = axisFor([chart.mark ?? 0, ...all.filter((value) => value !== null)])
  const slot = (right - LEFT) / Math.max(1, chart.categories.length)
  const most = Math.max(1, ...(chart.positions ?? []))
  return {
    size,
    right,
    bottom,
    axis,
    slot,
    // The last number of a scale has half of its text to the right of it.
    x: (index) =>
      chart.positions ? LEFT + (chart.positions[index]! / most) * (right - LEFT - 18) : LEFT + (index + 0.5) * slot,
    y: (value) => bottom - ((value - axis.least) / (axis.most - axis.least)) * (bottom - TOP),
  }
}

function line(chart: Chart, series: Series, { x, y, right }: Frame): string {
  const points = series.values.flatMap((value, i) => (value === null ? [] : [{ i, value }]))
  const path = points.map(({ i, value }, n) => `${n ? 'L' : 'M'}${r(x(i))} ${r(y(value))}`).join('')
  const marks = points.map(({ i, value }) => {
    const tip = tipOf(chart, series, i, value)
    return shape(series.color, x(i), y(value), `<title>${escapeXml(tip)}</title>`)
  })
  // Each series a little aside, or they would lie upon each other.
  const aside = (series.color - (chart.series.length - 1) / 2) * 3
  const ranges = (series.ranges ?? []).map((range, i) =>
    range ? `<path class="range" d="M${r(x(i) + aside)} ${r(y(range[0]))}V${r(y(range[1]))}"/>` : '',
  )
  const values = chart.showsValues
    ? points.map(({ i, value }) => {
        const isLast = x(i) > right - 30
        return text(showNumber(value), x(i) + (isLast ? 6 : 0), y(value) - 8, isLast ? 'end' : 'middle', 'value')
      })
    : []
  return `<g class="c${series.color % NUM_COLORS}"><path d="${path}"/>${ranges.join('')}${marks.join('')}${values.join('')}</g>`
}

function bars(chart: Chart, { slot, x, y }: Frame): string[] {
  const width = Math.min((slot * BARS) / chart.series.length, WIDEST_BAR)
  return chart.series.map((series, n) => {
    const parts = series.values.map((value, i) => {
      if (value === null) return ''
      const left = x(i) + (n - chart.series.length / 2) * width
      const middle = left + width * 0.46
      const tip = tipOf(chart, series, i, value)
      const [top, foot] = [Math.max(value, 0), Math.min(value, 0)].map((end) => y(end)) as [number, number]
      const dots = (series.dots?.[i] ?? []).map(
        (dot, k, all) =>
          `<circle class="dot" cx="${r(middle + spread(k, all.length, width))}" cy="${r(y(dot))}" r="2.5"/>`,
      )
      const aim = series.targets?.[i] ?? null
      const across = aim === null ? '' : `d="M${r(left - 3)} ${r(y(aim))}H${r(left + width * 0.92 + 3)}"`
      const target = across && `<path class="edge" ${across}/><path class="target" ${across}/>`
      // On the foot of its bar, or beyond the end of one that is too low for it.
      const [baseline, style] = foot - top >= LABEL ? [foot - 6, 'inside'] : [value < 0 ? foot + 13 : top - 6, 'value']
      const written = chart.showsValues ? text(showNumber(value), middle, baseline, 'middle', style) : ''
      return `<rect x="${r(left)}" y="${r(top)}" width="${r(width * 0.92)}" height="${r(foot - top)}"><title>${escapeXml(tip)}</title></rect>${dots.join('')}${target}${written}`
    })
    return `<g class="c${series.color % NUM_COLORS}">${parts.join('')}</g>`
  })
}

function tipOf({ categories, xUnit = '' }: Chart, { name }: Series, i: number, value: number): string {
  return `${name}, ${`${categories[i]!.replaceAll('\n', ' ')} ${xUnit}`.trim()}: ${showNumber(value)}`
}

/** Where the k-th of `count` dots stands beside the middle of its bar. */
function spread(k: number, count: number, width: number): number {
  return count < 2 ? 0 : (k / (count - 1) - 0.5) * Math.min(width * 0.6, count * 6)
}

/** A shape for each colour: who cannot tell the colours can tell these. */
function shape(color: number, x: number, y: number, inside = ''): string {
  const at = (dx: number, dy: number): string => `${r(x + dx)} ${r(y + dy)}`
  const tag = inside ? [`>${inside}</path>`, `>${inside}</circle>`] : ['/>', '/>']
  const polygon = (...corners: readonly string[]): string => `<path class="shape" d="M${corners.join('L')}Z"${tag[0]}`
  switch (color % NUM_COLORS) {
    case 0:
      return `<circle cx="${r(x)}" cy="${r(y)}" r="3.2"${tag[1]}`
    case 1:
      return polygon(at(-3, -3), at(3, -3), at(3, 3), at(-3, 3))
    case 2:
      return polygon(at(0, -4.2), at(4, 3), at(-4, 3))
    case 3:
      return polygon(at(0, -4.4), at(4.4, 0), at(0, 4.4), at(-4.4, 0))
    case 4:
      return polygon(at(0, 4.2), at(4, -3), at(-4, -3))
    default:
      return polygon(at(-4, -1.6), at(4, -1.6), at(4, 1.6), at(-4, 1.6))
  }
}

export function text(content: string, x: number, y: number, anchor: string, style = 'tick'): string {
  return `<text class="${style}" x="${r(x)}" y="${r(y)}" text-anchor="${anchor}">${escapeXml(content)}</text>`
}

export function escapeXml(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** A coordinate, short. */
function r(value: number): string {
  return `${Number(value.toFixed(1))}`
}
