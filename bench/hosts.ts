/**
 * Each WebGPU of each host that runs without a browser, in turns: tokens per second of eight streams over five voices, the
 * time to the first token, and how late results come. Every measurement is a process of its own; the rounds go through all
 * of them, so that what else the machine does falls on each alike, and the median of the rounds is told.
 *
 *   node bench/run.mjs bench/hosts.ts [--rounds=5]
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { median, rounded } from './support/timing.ts'

const LOAD = 'bench/support/hostLoad.ts'
const NODE = [process.execPath, 'bench/run.mjs', LOAD]
const DENO = ['node_modules/.bin/deno', 'run', '-A', LOAD]
const HOSTS: Readonly<Record<string, readonly string[]>> = {
  'Node, Dawn': [...NODE, '-'],
  'Deno, Dawn': [...DENO, 'dawn'],
  'Node, Dawn without subgroups': [...NODE, '-', 'no-subgroups'],
  'Deno, wgpu': [...DENO, 'builtin'],
  'Deno, wgpu, no run-ahead': [...DENO, 'builtin', 'no-run-ahead'],
}

interface Measured {
  readonly implementation: string
  readonly tokensPerSecond: number
  readonly firstTokenMs: number
  readonly readbackMs: number | null
  readonly depth: number
}

const rounds = Number(process.argv.find((arg) => arg.startsWith('--rounds='))?.slice('--rounds='.length) ?? 5)
const run = promisify(execFile)
const found = new Map<string, Measured[]>(Object.keys(HOSTS).map((name) => [name, []]))
for (let round = 0; round < rounds; round++) {
  for (const [name, [command, ...args]] of Object.entries(HOSTS)) {
    const { stdout } = await run(command!, args)
    const measured: Measured = JSON.parse(stdout.split('\n').find((line) => line.startsWith('{'))!)
    found.get(name)!.push(measured)
    console.error(`${name}: ${measured.tokensPerSecond} tokens/s`)
  }
}
const summary = [...found].map(([name, all]) => ({
  name,
  implementation: all[0]!.implementation,
  tokensPerSecond: median(all.map((each) => each.tokensPerSecond)),
  firstTokenMs: median(all.map((each) => each.firstTokenMs)),
  readbackMs: median(all.map((each) => each.readbackMs ?? 0)),
  depth: median(all.map((each) => each.depth)),
  rounds: all.map((each) => each.tokensPerSecond),
}))
console.log(rounded({ rounds, summary }))
