/**
 * The lines of docs/performance.md: runs the scripts after each other, each in a process of its own, and prints what each
 * line asks for beside what was found, in the terms of the document. A script that fails is said to have, and the others go
 * on; the exit code is then 1. For figures to keep, leave the machine alone meanwhile: it says at first how long.
 *
 *   npm run build && node bench/run.mjs bench/all.ts [--save docs/perf] [--only mixing,counters] [--quick]
 *
 * `--save` keeps the reports, for `npm run plots` to draw. `--only` runs some pieces of bench/support/pieces.ts. `--quick` takes the
 * smallest settings: it shows that everything works, its figures are worth nothing. The load of ten minutes that S15 asks for is
 * half as long here: `node --expose-gc bench/run.mjs bench/soak.ts` is the whole. Other runtimes (S4, S5, S6) are measured by hand: bench/peers.ts.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { textTable } from '../src/bench/report/textTable.ts'
import type { Json } from './support/json.ts'
import { LINES } from './support/lines.ts'
import { LINE_HEADERS, lineCells, type Reported } from './support/lineTable.ts'
import { textOption } from './support/options.ts'
import { PIECES, type Piece } from './support/pieces.ts'

/** More than any piece needs on a slow machine. */
const LONGEST_MS = 30 * 60_000

const isQuick = process.argv.includes('--quick')
const only = textOption('only')?.split(',') ?? null
const folder = textOption('save')

function run({ script, args, quick }: Piece): Promise<Json | string> {
  const command = ['--expose-gc', 'bench/run.mjs', `bench/${script}.ts`, ...(isQuick ? quick : args)]
  return new Promise((resolve) => {
    execFile(process.execPath, command, { maxBuffer: 2 ** 26, timeout: LONGEST_MS }, (error, stdout, stderr) => {
      const start = stdout.indexOf('{')
      if (error?.killed) resolve(`not done after ${duration(LONGEST_MS)}`)
      else if (error || start < 0) resolve(lastError(stderr) ?? error?.message ?? 'it printed no report')
      else resolve(JSON.parse(stdout.slice(start)) as Json)
    })
  })
}

/** The line of a stack trace that says what happened. */
function lastError(stderr: string): string | null {
  return (
    stderr
      .split('\n')
      .findLast((text) => /Error\b.*:/.test(text))
      ?.trim()
      .replace(/^Error: /, '') ?? null
  )
}

function duration(ms: number): string {
  return ms < 60_000 ? `${Math.round(ms / 1000)} s` : `${(ms / 60_000).toFixed(1)} min`
}

const unknown = only?.filter((name) => !PIECES.some((piece) => piece.name === name || piece.script === name)) ?? []
if (unknown.length > 0) throw new Error(`--only: there is no ${unknown}; there are ${PIECES.map(({ name }) => name)}`)
const pieces = PIECES.filter(
  ({ name, script, isByHand }) => !isByHand && (!only || only.includes(name) || only.includes(script)),
)
const minutes = pieces.reduce((sum, piece) => sum + piece.minutes, 0)
if (!isQuick) console.error(`${pieces.length} pieces, about ${Math.ceil(minutes)} min on two quiet cores without a GPU`)

const begun = performance.now()
const found = new Map<string, Reported>()
for (const piece of pieces) {
  const start = performance.now()
  process.stderr.write(`${piece.name} …`)
  const report = await run(piece)
  found.set(piece.name, report)
  console.error(` ${typeof report === 'string' ? `failed: ${report}` : duration(performance.now() - start)}`)
  if (folder !== null && typeof report !== 'string') {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `${piece.name}.json`), `${JSON.stringify(report, null, 2)}\n`)
  }
}

const shown = LINES.filter(({ piece }) => found.has(piece))
console.log(
  textTable(
    LINE_HEADERS,
    shown.map((line) => lineCells(line, found.get(line.piece))),
    { align: 'lllrrrll' },
  ),
)
const failed = [...found].filter(([, report]) => typeof report === 'string').map(([name]) => name)
console.log(`\n${pieces.length} pieces in ${duration(performance.now() - begun)}`)
if (isQuick) console.log('Smallest settings: these figures show that the scripts work, not how fast anything is.')
if (failed.length > 0) {
  console.log(`Failed: ${failed.join(', ')}`)
  process.exitCode = 1
}
