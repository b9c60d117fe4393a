/** What the engine does, drawn as it does it: speed, batches, memory. */
import { useComputed } from '@preact/signals'
import type { JSX } from 'preact'
import { useCallback } from 'preact/hooks'
import type UPlot from 'uplot'
import { blendOf, plumesOf } from '../app/blendNames.ts'
import { usePage } from '../app/page.ts'
import { voiceStyle } from '../app/voiceStyle.ts'
import { Chart } from './Chart.tsx'
import { type ChartVoice, rateChart, rowChart } from './charts.ts'
import { Memory } from './Memory.tsx'
import { rateSeries, rowSeries } from './series.ts'

const SECONDS = 20
const BUCKET_MS = 500
const MOST_STEPS = 60
const HEIGHT = 150

export function Meters(): JSX.Element | null {
  const { session, feed, plumes } = usePage()
  // A string, so that it is equal while the same adapters are at work.
  const atWork = useComputed(() => {
    feed.news.value
    const seen = new Set(feed.log.all.flatMap(({ rows }) => rows.map(({ adapter }) => adapter)))
    const known = [null, ...session.voices.value.filter(({ parent }) => parent !== null).map(({ id }) => id)]
    const others = [...seen].filter((name) => !known.includes(name)).sort()
    return JSON.stringify([...known.filter((name) => seen.has(name)), ...others])
  })
  const names = atWork.value
  const adapters = useComputed(() => JSON.parse(atWork.value) as (string | null)[])
  const voices = useCallback(
    (): ChartVoice[] =>
      (JSON.parse(names) as (string | null)[]).map((name) => ({
        name: blendOf(name) ?? session.baseName.peek(),
        plume: plumesOf(name, plumes)[0]!,
      })),
    [names, plumes, session],
  )
  const rates = useComputed((): UPlot.AlignedData => {
    feed.news.value
    const now = feed.log.last?.at_ms ?? 0
    const series = rateSeries(feed.log.all, adapters.value, now, SECONDS, BUCKET_MS)
    return [[...series.times], ...[...series.stacked].reverse().map((each) => [...each])]
  })
  const rows = useComputed((): UPlot.AlignedData => {
    feed.news.value
    const series = rowSeries(feed.log.all, adapters.value, MOST_STEPS)
    return [[...series.steps], ...[...series.stacked].reverse().map((each) => [...each])]
  })
  const makeRates = useCallback((isDark: boolean) => rateChart(voices(), isDark), [voices])
  const makeRows = useCallback((isDark: boolean) => rowChart(voices(), isDark), [voices])
  if (!feed.isTold.value || !session.isReady.value) return null
  return (
    <section class="meters" aria-label="Measurements">
      <figure>
        <figcaption>
          Tokens a second <Legend voices={voices()} />
        </figcaption>
        <Chart
          key={`rates ${names}`}
          label="Tokens a second of each voice, last 20 seconds"
          make={makeRates}
          data={rates}
          height={HEIGHT}
        />
      </figure>
      <figure>
        <figcaption>Rows of each step, by adapter</figcaption>
        <Chart
          key={`rows ${names}`}
          label={`Rows of the last ${MOST_STEPS} steps by adapter`}
          make={makeRows}
          data={rows}
          height={HEIGHT}
        />
      </figure>
      <figure>
        <figcaption>Memory on the device</figcaption>
        <Memory />
      </figure>
    </section>
  )
}

function Legend({ voices }: { readonly voices: readonly ChartVoice[] }): JSX.Element {
  return (
    <span class="legend">
      {voices.map(({ name, plume }) => (
        <span key={name} class="voice" style={voiceStyle(plume)}>
          {name}
        </span>
      ))}
    </span>
  )
}
