/**
 * A thousand adapters with room for 32 on the GPU (S9 of docs/performance.md), on the model that comes along: throughput of
 * 32 clients when a fifth of the adapters takes four fifths of the requests, against the same load on four adapters. Of 160
 * adapters the hot ones fit, of 1,000 they do not. Misses and uploaded bytes beside it. Rounds take turns; before each is
 * measured the same load runs once, since the others have left their adapters on the GPU.
 *
 *   node bench/run.mjs bench/manyAdapters.ts [--rounds=5] [--requests=128] [--rank=16]
 */
import { targetOf } from '../src/bench/load/inProcess.ts'
import { hotCount } from '../src/bench/load/pick.ts'
import { figuresOf, type Run, runClients } from '../src/bench/load/point.ts'
import { makeRequests } from '../src/bench/load/requests.ts'
import { SyntheticAdapters } from '../src/bench/synthetic.ts'
import { Lorikeet } from '../src/lorikeet.ts'
import { numberOption } from './support/options.ts'
import { rounded } from './support/timing.ts'

const ROOM = 32
const CLIENTS = 32
const COUNTS = [4, 160, 1000]
const LENGTHS = { isl: { kind: 'fixed', tokens: 64 }, osl: { kind: 'fixed', tokens: 32 }, seed: 0 } as const

const rounds = numberOption('rounds', 5)
const requests = numberOption('requests', 128)
const rank = numberOption('rank', 16)
const bird = await Lorikeet.open({ model: 'models/aviary', sizes: { maxLoras: ROOM, loraMemory: 2 ** 28 } })
const synthetic = new SyntheticAdapters(bird.runtime.spec)
const names = Array.from({ length: Math.max(...COUNTS) }, (_, i) => `a${i}`)
for (const name of names) bird.runtime.adapters.add(name, 'made up', synthetic.make(name, rank))
const target = targetOf(bird, { ignoreEos: true, timeoutMs: 600_000 })

interface Case {
  readonly count: number
  readonly runs: Run[]
  /** During what was measured. */
  readonly counts: { misses: number; uploads: number; bytes: number }
}

/** @param turn another one for every load, or it would ask for the same adapters */
async function run(count: number, turn: number): Promise<Run> {
  const workload = { ...LENGTHS, pick: count > ROOM ? 'skewed' : 'uniform' } as const
  const place = { scenario: `${count}`, concurrency: CLIENTS, round: turn }
  const made = makeRequests(workload, requests, names.slice(0, count), target.prompt, place)
  return runClients(made, CLIENTS, (request) => target.ask(request))
}

async function measure({ count, runs, counts }: Case, round: number): Promise<void> {
  await run(count, 2 * round)
  const before = target.counts!()
  runs.push(await run(count, 2 * round + 1))
  const after = target.counts!()
  const grown = (name: string) => after[name]! - before[name]!
  counts.misses += grown('adapterMisses')
  counts.uploads += grown('adapterArrivals')
  counts.bytes += grown('uploadedBytes')
}

const cases = COUNTS.map((count): Case => ({ count, runs: [], counts: { misses: 0, uploads: 0, bytes: 0 } }))
for (let round = 0; round < rounds; round++) for (const each of cases) await measure(each, round)

const few = figuresOf(cases[0]!.runs).tps!
const total = rounds * requests
console.log(
  rounded({
    device: bird.runtime.gpu.can.adapter,
    rounds,
    registered: bird.adapters.list().length,
    roomOnGpu: ROOM,
    adapterBytes: synthetic.make('size', rank).byteLength,
    ...Object.fromEntries(
      cases.map(({ count, runs, counts }) => {
        const figures = figuresOf(runs)
        const tps = figures.tps!
        return [
          `S9 ${count} adapters${count > ROOM ? `, ${hotCount(count)} hot` : ''}`,
          {
            tokensPerSecond: { best: tps.max, median: tps.p50 },
            against4: { best: tps.max / few.max, median: tps.p50 / few.p50 },
            failed: total - figures.answered,
            missesPerRequest: counts.misses / total,
            uploadsPerRequest: counts.uploads / total,
            uploadedBytes: counts.bytes,
            ttftMs: { p50: figures.ttft!.p50, p99: figures.ttft!.p99 },
          },
        ]
      }),
    ),
  }),
)
await bird.close()
