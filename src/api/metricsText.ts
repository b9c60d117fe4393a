/**
 * Prometheus' text format, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/. A family is named
 * once, with its type, and its samples follow.
 */
import type { Histogram } from '../engine/histogram.ts'

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export type Labels = Readonly<Record<string, string>>
export type Sample = readonly [labels: Labels, value: number]

export class MetricsText {
  readonly #common: Labels
  readonly #lines: string[] = []

  /** `common`: labels of every sample, before its own. */
  constructor(common: Labels = {}) {
    this.#common = common
  }

  /** Only ever grows; the name ends in `_total`. */
  counter(name: string, help: string, samples: number | readonly Sample[]): void {
    this.#family(name, 'counter', help)
    this.#samples(name, samples)
  }

  gauge(name: string, help: string, samples: number | readonly Sample[]): void {
    this.#family(name, 'gauge', help)
    this.#samples(name, samples)
  }

  histogram(name: string, help: string, histogram: Histogram): void {
    this.#family(name, 'histogram', help)
    const { bounds, count, sum } = histogram
    for (const [i, total] of histogram.cumulative().entries()) {
      this.#sample(`${name}_bucket`, { le: boundText(bounds[i]!) }, total)
    }
    this.#sample(`${name}_bucket`, { le: '+Inf' }, count)
    this.#sample(`${name}_sum`, {}, sum)
    this.#sample(`${name}_count`, {}, count)
  }

  /** How many there were and what they came to, without quantiles. */
  summary(
    name: string,
    help: string,
    samples: readonly (readonly [labels: Labels, count: number, sum: number])[],
  ): void {
    this.#family(name, 'summary', help)
    for (const [labels, count, sum] of samples) {
      this.#sample(`${name}_sum`, labels, sum)
      this.#sample(`${name}_count`, labels, count)
    }
  }

  toString(): string {
    return this.#lines.join('')
  }

  #family(name: string, type: string, help: string): void {
    this.#lines.push(`# HELP ${name} ${help.replace(/[\\\n]/g, escaped)}\n# TYPE ${name} ${type}\n`)
  }

  #samples(name: string, samples: number | readonly Sample[]): void {
    if (typeof samples === 'number') this.#sample(name, {}, samples)
    else for (const [labels, value] of samples) this.#sample(name, labels, value)
  }

  #sample(name: string, labels: Labels, value: number): void {
    const pairs = Object.entries({ ...this.#common, ...labels })
    const written = pairs.map(([label, text]) => `${label}="${text.replace(/[\\"\n]/g, escaped)}"`)
    this.#lines.push(`${name}${written.length > 0 ? `{${written.join(',')}}` : ''} ${numberText(value)}\n`)
  }
}

function escaped(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`
}

function numberText(value: number): string {
  if (Math.abs(value) === Infinity) return value > 0 ? '+Inf' : '-Inf'
  return String(value)
}

/** As Python's client and Prometheus itself write the bounds of buckets, so that they are the same series. */
function boundText(bound: number): string {
  return Number.isInteger(bound) ? `${bound}.0` : String(bound)
}
