import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MetricsText } from '../../src/api/metricsText.ts'
import { Histogram } from '../../src/engine/histogram.ts'
import { Metrics } from './support/parseMetrics.ts'

describe('MetricsText', () => {
  it('writes every kind of family', () => {
    const histogram = new Histogram([0.5, 1])
    for (const value of [0.25, 1, 3]) histogram.observe(value)
    const text = new MetricsText({ model_name: 'org/tiny' })
    text.counter('a_total', 'Says "what" in a\\b\nline.', 3)
    text.gauge('b', 'Of two.', [
      [{ adapter: 'x' }, Number.NaN],
      [{ adapter: 'a"\\\nb' }, -Infinity],
    ])
    text.histogram('c_seconds', 'Times.', histogram)
    text.summary('d', 'Sums.', [[{}, 2, 0.5]])
    expect(text.toString()).toMatchInlineSnapshot(`
      "# HELP a_total Says "what" in a\\\\b\\nline.
      # TYPE a_total counter
      a_total{model_name="org/tiny"} 3
      # HELP b Of two.
      # TYPE b gauge
      b{model_name="org/tiny",adapter="x"} NaN
      b{model_name="org/tiny",adapter="a\\"\\\\\\nb"} -Inf
      # HELP c_seconds Times.
      # TYPE c_seconds histogram
      c_seconds_bucket{model_name="org/tiny",le="0.5"} 1
      c_seconds_bucket{model_name="org/tiny",le="1.0"} 2
      c_seconds_bucket{model_name="org/tiny",le="+Inf"} 3
      c_seconds_sum{model_name="org/tiny"} 4.25
      c_seconds_count{model_name="org/tiny"} 3
      # HELP d Sums.
      # TYPE d summary
      d_sum{model_name="org/tiny"} 0.5
      d_count{model_name="org/tiny"} 2
      "
    `)
    const parsed = new Metrics(text.toString())
    expect(parsed.value('b', { adapter: 'a"\\\nb' })).toBe(-Infinity)
  })

  it('writes any label value so that it is read as it was', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ unit: 'binary' })), (names) => {
        const text = new MetricsText()
        text.gauge(
          'a',
          'A.',
          names.map((name, i) => [{ adapter: name }, i]),
        )
        const read = new Metrics(text.toString()).families.get('a')!.samples
        expect(read.map(({ labels }) => labels.adapter)).toEqual(names)
      }),
      { seed: 6, numRuns: 200 },
    )
  })
})

describe('the parser of these tests', () => {
  const head = '# HELP a A.\n# TYPE a gauge\n'
  it.each([
    ['no last end of line', `${head}a 1`],
    ['a sample of nobody', 'a 1\n'],
    ['a sample of another', `${head}b 1\n`],
    ['a type without help', '# TYPE a gauge\na 1\n'],
    ['a family twice', `${head}${head}`],
    ['a series twice', `${head}a{x="1",y="2"} 1\na{y="2",x="1"} 2\n`],
    ['a raw quote', `${head}a{x="1"2"} 1\n`],
    ['an unknown escape', `${head}a{x="\\t"} 1\n`],
    ['a value that is none', `${head}a Infinity\n`],
    ['an empty line', `${head}\na 1\n`],
    ['a counter without total', '# HELP a A.\n# TYPE a counter\na 1\n'],
    ['a negative counter', '# HELP a_total A.\n# TYPE a_total counter\na_total -1\n'],
    ['buckets that shrink', histogramText([2, 1, 2], 2)],
    ['a count that is not that of the last bucket', histogramText([1, 2, 3], 2)],
  ])('refuses %s', (_, text) => {
    expect(() => new Metrics(text)).toThrow('not as Prometheus has it')
  })
})

function histogramText(counts: readonly number[], count: number): string {
  const buckets = ['1', '2', '+Inf'].map((le, i) => `h_bucket{le="${le}"} ${counts[i]}\n`).join('')
  return `# HELP h H.\n# TYPE h histogram\n${buckets}h_sum 1\nh_count ${count}\n`
}
