/** A uPlot chart that follows its box, the theme and its data. */
import { type ReadonlySignal, useSignalEffect } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import UPlot from 'uplot'
import { usePage } from '../app/page.ts'

export interface ChartProps {
  /** What it shows, for those who cannot see it. */
  readonly label: string
  /** Made anew when the theme or the set of series changes. */
  readonly make: (isDark: boolean) => Omit<UPlot.Options, 'width' | 'height'>
  readonly data: ReadonlySignal<UPlot.AlignedData>
  readonly height: number
}

export function Chart({ label, make, data, height }: ChartProps): JSX.Element {
  const { theme, frames } = usePage()
  const box = useRef<HTMLDivElement>(null)
  const chart = useRef<UPlot | null>(null)
  const isDark = theme.isDark.value
  useEffect(() => {
    const element = box.current!
    const plot = new UPlot({ ...make(isDark), width: Math.max(160, element.clientWidth), height }, data.peek(), element)
    chart.current = plot
    const observer = new ResizeObserver(() => plot.setSize({ width: Math.max(160, element.clientWidth), height }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      plot.destroy()
      chart.current = null
    }
  }, [make, isDark, height, data])
  useSignalEffect(() => {
    const now = data.value
    frames.ask(() => chart.current?.setData(now))
  })
  return <div ref={box} class="chart" role="img" aria-label={label} />
}
