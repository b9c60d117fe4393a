/**
 * npm run fuzz -- [--inputs=1000000] [--seed=1] [--parser=NAME] [--only=INDEX] [--processes=2]
 *
 * Reads that many inputs, made from the seed, in processes of their own, and tells what was taken and refused, the longest
 * and the largest. A process that dies, or is silent for too long, is found out which input it was busy with. Ends with 1
 * when anything failed. `--only` reads one input again (a negative number: a heavy one) and writes its files.
 */
import { fork } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { build } from 'vite'

const BATCH = 1000
/** Longest silence of a process over a batch, and over one input: for a machine that has other things to do too. */
const BATCH_LIMIT_MS = 120_000
const INPUT_LIMIT_MS = 10_000
const MIB = 1024 * 1024

const { values: flags } = parseArgs({
  options: {
    inputs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    parser: { type: 'string', multiple: true },
    only: { type: 'string' },
    processes: { type: 'string', default: '2' },
  },
})
const seed = Number(flags.seed)
const folder = mkdtempSync(join(tmpdir(), 'lorikeet-fuzz-'))
try {
  process.exitCode = await main()
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function main() {
  const workerFile = await bundle()
  const { TARGETS, inputOf } = await import(pathToFileURL(workerFile).href)
  const targets = TARGETS.filter((target) => !flags.parser || flags.parser.includes(target.name))
  if (targets.length === 0) throw new Error(`--parser is one of ${TARGETS.map(({ name }) => name).join(', ')}`)
  const jobs = flags.only === undefined ? plan(targets, Number(flags.inputs)) : [single(targets[0], Number(flags.only))]
  for (const target of targets) {
    target.heavy.forEach((_, i) => write(inputOf(target, seed, -1 - i), join(folder, `${target.name}${-1 - i}`)))
  }
  if (flags.only !== undefined) {
    const into = join(tmpdir(), 'lorikeet-fuzz-input')
    rmSync(into, { recursive: true, force: true })
    write(inputOf(targets[0], seed, Number(flags.only)), into)
    console.log(`its files are in ${into}`)
  }
  const heapMiB = await measureHeap(workerFile)
  console.log(`${jobs.reduce((sum, { from, to }) => sum + to - from, 0)} inputs, seed ${seed}, heap of ${heapMiB} MiB a process`)
  const report = new Map(targets.map(({ name }) => [name, { taken: 0, refused: {}, worstMs: 0, worstBytes: 0 }]))
  const failures = []
  const startedAt = performance.now()
  let maxRssBytes = 0
  const merge = (done) => {
    const sum = report.get(done.job.target)
    sum.taken += done.taken
    for (const [why, count] of Object.entries(done.refused)) sum.refused[why] = (sum.refused[why] ?? 0) + count
    if (done.worstMs > sum.worstMs) [sum.worstMs, sum.worstMsIndex] = [done.worstMs, done.worstMsIndex]
    if (done.worstBytes > sum.worstBytes) [sum.worstBytes, sum.worstBytesIndex] = [done.worstBytes, done.worstBytesIndex]
    maxRssBytes = Math.max(maxRssBytes, done.maxRssBytes)
    failures.push(...done.failures)
  }
  const lanes = Array.from({ length: Number(flags.processes) }, () => lane(workerFile, heapMiB, jobs, merge, failures))
  await Promise.all(lanes)
  for (const [name, { taken, refused, worstMs, worstMsIndex, worstBytes, worstBytesIndex }] of report) {
    const numRefused = Object.values(refused).reduce((sum, count) => sum + count, 0)
    const kinds = Object.entries(refused).sort(([, one], [, other]) => other - one)
    console.log(
      `${name.padEnd(14)} taken ${taken}, refused ${numRefused}; longest ${worstMs.toFixed(0)} ms (${worstMsIndex}), ` +
        `most ${(worstBytes / MIB).toFixed(1)} MiB (${worstBytesIndex})\n  ${kinds.map(([why, count]) => `${why} ${count}`).join(', ')}`,
    )
  }
  const seconds = (performance.now() - startedAt) / 1000
  console.log(`${seconds.toFixed(0)} s; largest process ${(maxRssBytes / MIB).toFixed(0)} MiB; ${failures.length} failures`)
  for (const { target, index, why } of failures.slice(0, 50)) {
    console.log(`FAILED ${target} ${index}: ${why}\n  again: npm run fuzz -- --parser=${target} --seed=${seed} --only=${index}`)
  }
  return failures.length > 0 ? 1 : 0
}

/** The readers and their generators as one file, so that a process has nothing else in its heap. */
async function bundle() {
  const outDir = join(folder, 'worker')
  await build({
    configFile: false,
    logLevel: 'warn',
    build: {
      outDir,
      emptyOutDir: true,
      target: 'node20',
      minify: false,
      lib: { entry: 'test/fuzz/worker.ts', formats: ['es'], fileName: () => 'worker.mjs' },
      rolldownOptions: { external: [/^node:/] },
    },
  })
  return join(outDir, 'worker.mjs')
}

/** Heavy inputs first, then batches of each target in turn, an equal number of each. */
function plan(targets, inputs) {
  const each = Math.ceil(inputs / targets.length)
  const jobs = targets.map(({ name, heavy }) => ({ target: name, seed, from: -heavy.length, to: 0, careful: true, heavyFolder: folder }))
  for (let from = 0; from < each; from += BATCH) {
    for (const { name } of targets) jobs.push({ target: name, seed, from, to: Math.min(each, from + BATCH), careful: false, heavyFolder: folder })
  }
  return jobs
}

function single({ name }, index) {
  return { target: name, seed, from: index, to: index + 1, careful: true, heavyFolder: folder }
}

/** What a process needs before it has read anything, and room for 16 MiB, what it is given, and V8's own. */
async function measureHeap(workerFile) {
  const child = start(workerFile, null)
  const { heapBytes } = await message(child, BATCH_LIMIT_MS)
  child.kill()
  return Math.ceil(heapBytes / MIB) + 16 + 8
}

function start(workerFile, heapMiB) {
  const cap = heapMiB === null ? [] : [`--max-old-space-size=${heapMiB}`]
  return fork(workerFile, [], { execArgv: ['--expose-gc', '--max-semi-space-size=2', ...cap], serialization: 'json', silent: true })
}

/** The next message, or null when the process ended or said nothing for `ms`. */
function message(child, ms) {
  return new Promise((resolve) => {
    const end = (value) => {
      clearTimeout(timer)
      child.off('message', end).off('exit', ended)
      resolve(value)
    }
    const ended = () => end(null)
    const timer = setTimeout(ended, ms)
    child.on('message', end).on('exit', ended)
  })
}

/** Works on jobs until there are none. A job whose process fails is done again, input by input. */
async function lane(workerFile, heapMiB, jobs, merge, failures) {
  let child = null
  for (let job = jobs.shift(); job; job = jobs.shift()) {
    child ??= await ready(workerFile, heapMiB)
    const outcome = await work(child, job)
    if (outcome.done) {
      merge(outcome.done)
      continue
    }
    const how = child.exitCode === null && child.signalCode === null ? `did not end within ${INPUT_LIMIT_MS} ms` : 'ended the process'
    child.kill('SIGKILL')
    child = null
    if (!job.careful) jobs.unshift({ ...job, careful: true })
    else {
      failures.push({ target: job.target, index: outcome.index, why: how })
      if (outcome.index > job.from) jobs.unshift({ ...job, to: outcome.index })
      if (outcome.index + 1 < job.to) jobs.unshift({ ...job, from: outcome.index + 1 })
    }
  }
  child?.kill()
}

async function ready(workerFile, heapMiB) {
  const child = start(workerFile, heapMiB)
  if ((await message(child, BATCH_LIMIT_MS))?.kind !== 'ready') throw new Error('a process does not start')
  return child
}

async function work(child, job) {
  child.send(job)
  let index = job.from
  for (;;) {
    const said = await message(child, job.careful ? INPUT_LIMIT_MS : BATCH_LIMIT_MS)
    if (said === null) return { done: null, index }
    if (said.kind === 'done') return { done: said, index }
    index = said.index
  }
}

function write(files, into) {
  mkdirSync(into, { recursive: true })
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(into, name), bytes)
}
