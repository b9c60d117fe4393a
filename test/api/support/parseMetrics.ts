/**
 * Reads Prometheus' text format 0.0.4 as strictly as it can be read: every line is accounted for, families stand together
 * under one HELP and one TYPE, series are unique, and histograms add up. Throws where anything is otherwise.
 */
export interface MetricSample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: MetricSample[]
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const HELP = new RegExp(`^# HELP (${NAME}) (.+)$`)
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram|summary)$`)
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`, 's')
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/
const VALUE = /^(?:NaN|[+-]Inf|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/
const SUFFIXES: Readonly<Record<string, RegExp>> = {
  counter: /_total$/,
  gauge: /(?<!_total)$/,
  histogram: /_(bucket|sum|count)$/,
  summary: /_(sum|count)$/,
}

export class Metrics {
  readonly families: Map<string, Family> = new Map()

  constructor(text: string) {
    if (!text.endsWith('\n')) fail('the last line does not end')
    let family: Family | null = null
    let help: RegExpExecArray | null = null
    const series = new Set<string>()
    for (const line of text.slice(0, -1).split('\n')) {
      if (line.startsWith('# HELP')) {
        help = HELP.exec(line) ?? fail(line)
      } else if (line.startsWith('# TYPE')) {
        const [, name, type] = TYPE.exec(line) ?? fail(line)
        if (help?.[1] !== name || this.families.has(name!)) fail(line)
        family = { name: name!, type: type!, help: help![2]!, samples: [] }
        this.families.set(name!, family)
      } else {
        const sample = parseSample(line)
        if (!family || !belongs(sample, family)) fail(line)
        const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()])
        if (series.has(key)) fail(`twice: ${line}`)
        series.add(key)
        family!.samples.push(sample)
      }
    }
    for (const one of this.families.values()) check(one)
  }

  /** The value of the only series of this name with these labels. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const found = [...this.families.values()]
      .flatMap(({ samples }) => samples)
      .filter((one) => one.name === name && Object.entries(labels).every(([key, text]) => one.labels[key] === text))
    if (found.length !== 1) throw new Error(`${found.length} series ${name} ${JSON.stringify(labels)}`)
    return found[0]!.value
  }
}

function fail(what: string): never {
  throw new Error(`not as Prometheus has it: ${what}`)
}

function parseSample(line: string): MetricSample {
  const [, name, pairs, value] = SAMPLE.exec(line) ?? fail(line)
  if (!VALUE.test(value!)) fail(line)
  const labels: Record<string, string> = {}
  for (let rest = pairs ?? ''; rest !== ''; ) {
    const [whole, label, text, end] = LABEL.exec(rest) ?? fail(line)
    if (label! in labels) fail(line)
    labels[label!] = text!.replace(/\\(.)/g, (_, one) => (one === 'n' ? '\n' : one))
    rest = rest.slice(whole.length)
    if (end === ',' && rest === '') fail(line)
  }
  return { name: name!, labels, value: Number(value!.replace('Inf', 'Infinity')) }
}

function belongs({ name }: MetricSample, family: Family): boolean {
  if (family.type === 'counter' || family.type === 'gauge') return name === family.name
  return name.startsWith(family.name) && SUFFIXES[family.type]!.test(name.slice(family.name.length))
}

function check({ name, type, samples }: Family): void {
  if ((type === 'counter' || type === 'gauge') && !SUFFIXES[type]!.test(name)) fail(`${name} is a ${type}`)
  if (type === 'counter' && samples.some(({ value }) => !(value >= 0 && value < Infinity))) fail(`${name} goes down`)
  if (type !== 'histogram') return
  const bySuffix = (suffix: string) => samples.filter((one) => one.name === `${name}_${suffix}`)
  const buckets = bySuffix('bucket').map(({ labels, value }) => [Number(labels.le!.replace('Inf', 'Infinity')), value])
  for (const [i, [bound, count]] of buckets.entries()) {
    const [lastBound, lastCount] = buckets[i - 1] ?? [-Infinity, 0]
    if (!(bound! > lastBound! && count! >= lastCount!)) fail(`${name} has buckets out of order`)
  }
  const [[sum, ...sums], [count, ...counts]] = [bySuffix('sum'), bySuffix('count')]
  if (!sum || !count || sums.length + counts.length > 0) fail(`${name} has not one sum and one count`)
  const last = buckets.at(-1)
  if (last?.[0] !== Infinity || last[1] !== count.value) fail(`${name} does not end with all it counts`)
  if (count.value === 0 && sum.value !== 0) fail(`${name} has a sum of nothing`)
}
