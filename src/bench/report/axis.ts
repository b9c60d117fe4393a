/** Axes with round numbers, and numbers as people write them. */

export interface Axis {
  readonly least: number
  readonly most: number
  readonly ticks: readonly number[]
}

const MOST_STEPS = 5

/** From the lowest of 0 and the values to the highest, both rounded outwards. */
export function axisFor(values: readonly number[]): Axis {
  const ticks = ticksFor(Math.max(0, ...values), Math.min(0, ...values))
  return { least: ticks[0]!, most: ticks.at(-1)!, ticks }
}

/** Round numbers from the last that is not above `least` to the first that is not below `most`: four to seven of them. */
export function ticksFor(most: number, least = 0): readonly number[] {
  if (!(most > least)) return [0, 1]
  const rough = (most - least) / MOST_STEPS
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 2.5, 5, 10].find((lead) => lead * power >= rough * (1 - 1e-9))! * power
  const first = Math.floor(least / step + 1e-9)
  // Adding 0 makes -0 a 0.
  return Array.from({ length: Math.ceil(most / step - 1e-9) - first + 1 }, (_, i) => (first + i) * step + 0)
}

/** Three significant digits, without an exponent where people expect none. */
export function showNumber(value: number): string {
  if (value === 0) return '0'
  if (Math.abs(value) >= 1e6) return `${showNumber(value / 1e6)}M`
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  return `${Number(value.toPrecision(3))}`
}
