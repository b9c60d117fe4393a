/**
 * The lines of docs/performance.md in one table: runs the scripts after each other, each in a process of its own, keeps
 * their JSON, and prints what each line asks for beside what was measured. Lines about other runtimes are not here: put them
 * beside lorikeet with `lorikeet bench --url`. For figures to keep, leave the machine alone meanwhile.
 *
 *   npm run build && node bench/run.mjs bench/all.ts [--rounds=7] [--minutes=10] [--only=mixing,counters] [--out=DIR]
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { textTable } from '../src/bench/report/textTable.ts'
import { numberOption, textOption } from './support/options.ts'

/** What a script printed; its keys name their lines. */
type Json = Readonly<Record<string, unknown>>

interface Line {
  readonly line: string
  readonly what: string
  readonly wanted: string
  readonly script: string
  /** Best and median, or one text for both. */
  readonly found: (json: Json) => readonly [unknown, unknown?]
}

/** The value behind some keys, each the beginning of a name. */
function at(json: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce<unknown>((value, key) => {
    const entries = Object.entries((value ?? {}) as Json)
    return (entries.find(([name]) => name === key) ?? entries.find(([name]) => name.startsWith(key)))?.[1]
  }, json)
}

const pair =
  (...keys: readonly string[]) =>
  (json: Json) =>
    [at(json, ...keys, 'best'), at(json, ...keys, 'median')] as const
const wall = (key: string) => (json: Json) => [at(json, key, 'wallBest'), at(json, key, 'wallMedian')] as const
const one =
  (...keys: readonly string[]) =>
  (json: Json) =>
    [at(json, ...keys)] as const

const LINES: readonly Line[] = [
  {
    line: 'S1',
    what: '8 adapters of rank 16 against base',
    wanted: '>= 0.90',
    script: 'mixing',
    found: wall('S1 decode, 8 rows of 8 adapters r=16'),
  },
  {
    line: 'S1',
    what: '8 adapters of rank 64 against base',
    wanted: '>= 0.75',
    script: 'mixing',
    found: wall('S1 decode, 8 rows of 8 adapters r=64'),
  },
  { line: 'S2', what: 'base step, 100 adapters resident', wanted: '1.00', script: 'mixing', found: wall('S2') },
  { line: 'S3', what: 'prefill of 8 adapters against base', wanted: '>= 0.95', script: 'mixing', found: wall('S3') },
  {
    line: 'S7',
    what: 'step against its best matrix alone',
    wanted: '>= 0.8',
    script: 'distance',
    found: (json) => [at(json, 'best', 'S7 of the best'), at(json, 'median', 'S7 of the best')],
  },
  {
    line: 'S8',
    what: '16 rows against 1, tokens a second',
    wanted: '>= 2',
    script: 'scaling',
    found: one('S8 16 rows', 'best'),
  },
  {
    line: 'S9',
    what: '32 hot adapters of 1000, against 4',
    wanted: '>= 0.95',
    script: 'manyAdapters',
    found: pair('S9 32 hot', 'against4'),
  },
  {
    line: 'S9',
    what: '200 hot of 1000, against 4',
    wanted: 'stated',
    script: 'manyAdapters',
    found: pair('S9 200 hot', 'against4'),
  },
  {
    line: 'S10',
    what: 'cold adapter: extra delay in steps',
    wanted: '<= 1',
    script: 'coldAdapter',
    found: pair('S10 extra'),
  },
  {
    line: 'S10',
    what: 'its upload over a bare one',
    wanted: '>= 0.8',
    script: 'coldAdapter',
    found: pair('S10 upload'),
  },
  {
    line: 'S11',
    what: 'dispatches a layer, base',
    wanted: '<= 10',
    script: 'counters',
    found: one('S11 base dispatches'),
  },
  {
    line: 'S11',
    what: 'dispatches a layer, LoRA',
    wanted: '<= 8',
    script: 'counters',
    found: one('S11 LoRA dispatches'),
  },
  {
    line: 'S12',
    what: 'JavaScript a step, without encoding, ms',
    wanted: '<= 0.5',
    script: 'runAhead',
    found: (json) => [undefined, at(json, 'S12', 'null backend', 'JavaScript per step', 'medianMsWithoutEncoding')],
  },
  {
    line: 'S12',
    what: 'encoding a dispatch, us',
    wanted: '<= 3',
    script: 'runAhead',
    found: (json) => [undefined, at(json, 'S12', 'null backend', 'JavaScript per step', 'microsecondsPerDispatch')],
  },
  {
    line: 'S12',
    what: 'share of time the device is idle',
    wanted: '<= 0.05',
    script: 'idle',
    found: (json) => [
      at(json, 'S12 idle', 'ahead', 'idleShare', 'bestRound'),
      at(json, 'S12 idle', 'ahead', 'idleShare', 'median'),
    ],
  },
  { line: 'S13', what: 'loading over bare uploads', wanted: '<= 1.4', script: 'loading', found: pair('S13 loading') },
  {
    line: 'S13',
    what: 'JavaScript memory above the start, MiB',
    wanted: '<= 100',
    script: 'loading',
    found: (json) => [undefined, at(json, 'S13 most', 'worst')],
  },
  {
    line: 'S14',
    what: 'first token, cold start, s',
    wanted: '<= 5',
    script: 'firstToken',
    found: pair('cold', 'firstToken'),
  },
  {
    line: 'S14',
    what: 'first token, warm start, s',
    wanted: '<= 2',
    script: 'firstToken',
    found: pair('warm', 'firstToken'),
  },
  {
    line: 'S15',
    what: 'ms a step at context 128',
    wanted: 'linear',
    script: 'scaling',
    found: (json) => [at(json, 'S15 context', '128', 'msBest'), at(json, 'S15 context', '128', 'msMedian')],
  },
  {
    line: 'S15',
    what: 'ms a step at context 4096',
    wanted: 'linear',
    script: 'scaling',
    found: (json) => [at(json, 'S15 context', '4096', 'msBest'), at(json, 'S15 context', '4096', 'msMedian')],
  },
  {
    line: 'S15',
    what: 'heap of the last quarter over the second',
    wanted: '1.00',
    script: 'soak',
    found: (json) => [
      undefined,
      Number(at(json, 'heap', 'lastQuarterMiB')) / Number(at(json, 'heap', 'secondQuarterMiB')),
    ],
  },
]

const rounds = numberOption('rounds', 7)
const minutes = numberOption('minutes', 10)
const only = textOption('only')?.split(',') ?? null
const out = textOption('out')

function run(script: string): Promise<Json | string> {
  const args = ['--expose-gc', 'bench/run.mjs', `bench/${script}.ts`, `--rounds=${rounds}`, `--minutes=${minutes}`]
  return new Promise((resolve) => {
    execFile(process.execPath, args, { maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      const start = stdout.indexOf('{')
      if (error || start < 0) resolve(`failed: ${(stderr || String(error)).trim().split('\n').at(-1)}`)
      else resolve(JSON.parse(stdout.slice(start)) as Json)
    })
  })
}

function show(value: unknown): string {
  if (value === undefined) return ''
  return typeof value === 'number' ? `${Number(value.toPrecision(3))}` : String(value)
}

const found = new Map<string, Json | string>()
for (const script of new Set(LINES.map((each) => each.script))) {
  if (only && !only.includes(script)) continue
  console.error(`bench/${script}.ts …`)
  const json = await run(script)
  found.set(script, json)
  if (out !== null && typeof json !== 'string')
    writeFileSync(join(out, `${script}.json`), `${JSON.stringify(json, null, 2)}\n`)
}
const rows = LINES.flatMap(({ line, what, wanted, script, found: read }) => {
  const json = found.get(script)
  if (json === undefined) return []
  const [best, median] = typeof json === 'string' ? [json] : read(json)
  return [[line, what, `bench/${script}.ts`, wanted, show(best), show(median)]]
})
console.log(textTable(['line', 'what', 'script', 'wanted', 'best', 'median'], rows, { numLeft: 3 }))
