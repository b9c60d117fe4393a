/**
 * A plot as a file of its own, as a document shows it: with its title, its legend, and where its numbers are from. It brings
 * its colours along, light and dark, and a ground, because the page around it need not be of the kind that the system is.
 */
import { PALETTE, PLOT_STYLE } from './style.ts'
import { type Chart, chartBody, escapeXml, type Series, swatchOf, text } from './svg.ts'

export interface Plot extends Chart {
  /** What it shows, in a sentence or two, for who cannot see it. */
  readonly description: string
  /** Files with its numbers, and what they were measured on. */
  readonly source: string
  /** What the lines across bars and plot are: 'target'. Needed where there are some. */
  readonly targetName?: string
  /** What the dots are: 'single rounds'. Needed where there are some. */
  readonly dotName?: string
}

const WIDTH = 720
const HEIGHT = 300
const MARGIN = 16
const TITLE = 30
const LEGEND_LINE = 20
const FOOT = 24
/** Of a letter in a legend, about. */
const LETTER = 6.6
const SWATCH = 28

export function svgFile(plot: Plot): string {
  const size = plot.size ?? { width: WIDTH, height: HEIGHT }
  const entries = legendEntries(plot)
  const lines = wrapped(entries, size.width - 2 * MARGIN)
  const top = TITLE + lines.length * LEGEND_LINE + 6
  const height = top + size.height + FOOT
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${height}" viewBox="0 0 ${size.width} ${height}" role="img" aria-labelledby="title description">`,
    `<title id="title">${escapeXml(plot.title)}</title>`,
    `<desc id="description">${escapeXml(plot.description)}</desc>`,
    `<style>${PALETTE}\n${PLOT_STYLE}\n${FILE_STYLE}</style>`,
    `<rect class="ground" width="${size.width}" height="${height}" rx="8"/>`,
    text(plot.title, MARGIN, 22, 'start', 'heading'),
    ...lines.flatMap((line, n) => line.map(({ at, draw }) => draw(MARGIN + at, TITLE + 12 + n * LEGEND_LINE))),
    `<g transform="translate(0 ${top})">`,
    ...chartBody({ ...plot, size }),
    '</g>',
    text(plot.source, size.width - MARGIN, height - 9, 'end', 'source'),
    '</svg>',
  ].join('\n')}\n`
}

interface Entry {
  readonly width: number
  draw(x: number, y: number): string
}

/** Of the series, unless there is one only, and of the other marks. */
function legendEntries({ series, targetName, dotName, mark }: Plot): Entry[] {
  const named = (name: string, swatch: (x: number, y: number) => string): Entry => ({
    width: SWATCH + name.length * LETTER + 18,
    draw: (x, y) => `${swatch(x + 10, y - 4)}${text(name, x + SWATCH, y, 'start', 'legend')}`,
  })
  const ofSeries = ({ name, color }: Series): Entry => named(name, (x, y) => swatchOf(color, x, y))
  return [
    ...(series.length > 1 ? series.map(ofSeries) : []),
    ...(targetName
      ? [
          named(
            targetName,
            (x, y) => `<g><path class="${mark === undefined ? 'target' : 'mark'}" d="M${x - 10} ${y}H${x + 10}"/></g>`,
          ),
        ]
      : []),
    ...(dotName ? [named(dotName, (x, y) => `<g><circle class="dot" cx="${x}" cy="${y}" r="2.5"/></g>`)] : []),
  ]
}

/** Entries in lines of at most `width`, each with its place. */
function wrapped(entries: readonly Entry[], width: number): (Entry & { readonly at: number })[][] {
  const lines: (Entry & { readonly at: number })[][] = []
  let at = Number.POSITIVE_INFINITY
  for (const entry of entries) {
    if (at + entry.width > width) {
      lines.push([])
      at = 0
    }
    lines.at(-1)!.push({ ...entry, at })
    at += entry.width
  }
  return lines
}

const FILE_STYLE = `rect.ground { fill: var(--ground); stroke: var(--line); }
svg text.heading { fill: var(--ink); font-size: 14px; font-weight: 600; }
svg text.legend { fill: var(--ink); font-size: 12px; }
svg text.source { font-size: 10px; }`
