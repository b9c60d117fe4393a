/** The options of the two charts: quiet axes, the voices' own colours. */
import UPlot from 'uplot'
import { cssColor, type Plume } from '../app/palette.ts'

export interface ChartVoice {
  readonly name: string
  readonly plume: Plume
}

/** As the figures of the page; a canvas does not inherit it. */
const FONT = '11px "Avenir Next", "Segoe UI", "Helvetica Neue", Roboto, "Liberation Sans", sans-serif'

function axisOf(isDark: boolean): Pick<UPlot.Axis, 'stroke' | 'font' | 'grid' | 'ticks'> {
  const rule = isDark ? 'oklch(0.9 0.01 285 / 0.1)' : 'oklch(0.3 0.03 285 / 0.1)'
  return {
    stroke: isDark ? 'oklch(0.74 0.02 285)' : 'oklch(0.45 0.03 285)',
    font: FONT,
    grid: { stroke: rule, width: 1 },
    ticks: { show: false },
  }
}

const SCALES: UPlot.Scales = {
  x: { time: false },
  y: { range: (_, __, max) => [0, Math.max(4, max * 1.1)] },
}

type ChartOptions = Omit<UPlot.Options, 'width' | 'height'>

/** Layers of what lies below are painted over: the whole sum first, then ever fewer voices. */
function stackedChart(
  voices: readonly ChartVoice[],
  isDark: boolean,
  paths: UPlot.Series.PathBuilder,
  xLabel: (split: number) => string,
): ChartOptions {
  const axis = axisOf(isDark)
  const layers = [...voices].reverse().map(({ name, plume }) => ({
    label: name,
    fill: cssColor(plume),
    width: 0,
    points: { show: false },
    paths,
  }))
  return {
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 16, 0, 0],
    scales: SCALES,
    axes: [
      { ...axis, size: 24, values: (_, splits) => splits.map(xLabel) },
      { ...axis, size: 34 },
    ],
    series: [{}, ...layers],
  }
}

export function rateChart(voices: readonly ChartVoice[], isDark: boolean): ChartOptions {
  const steps = UPlot.paths.stepped!({ align: -1 })
  return stackedChart(voices, isDark, steps, (split) => (split === 0 ? 'now' : `${split} s`))
}

export function rowChart(voices: readonly ChartVoice[], isDark: boolean): ChartOptions {
  const bars = UPlot.paths.bars!({ size: [0.8, 12], gap: 1 })
  return stackedChart(voices, isDark, bars, (split) => (Number.isInteger(split) ? `${split}` : ''))
}
