/** From steps to the series that the charts draw. */
import type { Step } from '../engine/types.ts'

export interface RateSeries {
  /** Seconds before now, ascending to 0. */
  readonly times: readonly number[]
  /** Tokens a second in each bucket: those of each adapter on top of those before it. The last is the sum. */
  readonly stacked: readonly (readonly number[])[]
}

/** Tokens a second over the `seconds` before `now` (ms of the engine's clock), in buckets of `bucketMs`. */
export function rateSeries(
  steps: readonly Step[],
  adapters: readonly (string | null)[],
  now: number,
  seconds: number,
  bucketMs: number,
): RateSeries {
  const numBuckets = Math.ceil((seconds * 1000) / bucketMs)
  // Buckets lie on a fixed grid, or their sums would flicker as the window moves.
  const end = Math.ceil(now / bucketMs) * bucketMs
  const start = end - numBuckets * bucketMs
  const stacked = adapters.map(() => new Array<number>(numBuckets).fill(0))
  const perToken = 1000 / bucketMs
  for (const { at_ms, rows } of steps) {
    const bucket = Math.floor((at_ms - start) / bucketMs)
    if (bucket < 0 || bucket >= numBuckets) continue
    for (const { adapter, decode } of rows) {
      const index = adapters.indexOf(adapter)
      if (index < 0) continue
      for (const series of stacked.slice(index)) series[bucket]! += decode * perToken
    }
  }
  const times = Array.from({ length: numBuckets }, (_, i) => (start + (i + 1) * bucketMs - end) / 1000)
  return { times, stacked }
}

export interface RowSeries {
  /** Step numbers. */
  readonly steps: readonly number[]
  /** Rows of each adapter on top of those before it: the last is the sum. */
  readonly stacked: readonly (readonly number[])[]
}

/** Rows of the last `most` steps by adapter, stacked in the given order. */
export function rowSeries(steps: readonly Step[], adapters: readonly (string | null)[], most: number): RowSeries {
  const shown = steps.slice(-most)
  const stacked = adapters.map(() => [] as number[])
  for (const { rows } of shown) {
    let height = 0
    adapters.forEach((adapter, index) => {
      for (const row of rows) if (row.adapter === adapter) height += row.prefill + row.decode
      stacked[index]!.push(height)
    })
  }
  return { steps: shown.map(({ step }) => step), stacked }
}

/** Rows a step held on average, and how many adapters (the base counts as one). */
export function batchAverages(steps: readonly Step[]): { readonly rows: number; readonly voices: number } {
  if (steps.length === 0) return { rows: 0, voices: 0 }
  let rows = 0
  let voices = 0
  for (const step of steps) {
    for (const { prefill, decode } of step.rows) rows += prefill + decode
    voices += step.rows.length
  }
  return { rows: rows / steps.length, voices: voices / steps.length }
}
