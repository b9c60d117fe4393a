/**
 * How long the device stands idle between two steps, and why (the idle share of S12 in docs/performance.md). Decoding with 16
 * sequences in three ways, rounds interleaved: steps that were all submitted before the first began, so that what
 * lies between two of them is the driver's; the engine running ahead; and the plain loop. A gap is late as far as the next step
 * was not submitted yet when the last one ended: that part is ours, or of a machine that did not let JavaScript run, which
 * Linux tells (/proc/self/task: how long the thread waited for a core). SmolLM2-135M's shape with few layers, f16, made up.
 *
 *   node bench/run.mjs bench/idle.ts [--rounds=5] [--layers=2]
 */
import { readFileSync } from 'node:fs'
import { SyntheticAdapters } from '../src/bench/synthetic.ts'
import { Engine } from '../src/engine/engine.ts'
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import type { GpuSpan } from '../src/gpu/profiler.ts'
import { readModelSpec } from '../src/model/config.ts'
import { decodeStep } from './support/decode.ts'
import { numberOption } from './support/options.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded } from './support/timing.ts'

const MIB = 2 ** 20
const SEQUENCES = 16
const ADAPTERS = 4
const TOKENS = 64
/** Steps that are submitted at once: as many as the runner takes. */
const QUEUED = 8
const WARM_UP = 8
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

/** A step as the device ran it; what JavaScript did for it, where an engine did: on the same clock but for an offset. */
interface Step extends GpuSpan {
  readonly submittedAt?: number
  readonly arrivedAt?: number
  /** Of JavaScript's thread since the start, when the step was settled: ms on a core, and ms of waiting for one. */
  readonly thread?: readonly [running: number, waiting: number] | null
}

/** Null where the system does not tell. */
function threadMs(): [number, number] | null {
  try {
    const [running, waiting] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ').map(Number)
    return [running! / 1e6, waiting! / 1e6]
  } catch {
    return null
  }
}

/** All sequences decode, an adapter for each but the fifth ones; the steps that every one took part in. */
async function decode(runtime: Runtime, depth: number | null): Promise<Step[]> {
  const steps: Step[] = []
  const engine = new Engine(runtime.runner, {
    observer: {
      step({ numRows, gpuTime, submittedAt, arrivedAt }) {
        if (numRows === SEQUENCES && gpuTime) steps.push({ ...gpuTime, submittedAt, arrivedAt, thread: threadMs() })
      },
    },
    ...(depth === null ? {} : { depth }),
  })
  const answers = Array.from({ length: SEQUENCES }, async (_, i) => {
    const own = i % (ADAPTERS + 1)
    const generation = engine.generate({
      id: `${i}`,
      prompt: [i, 7, 9],
      adapter: own === ADAPTERS ? null : runtime.adapters.lease(`${own}`),
      sampling: GREEDY,
      maxTokens: TOKENS,
      minTokens: 0,
      stopIds: [],
      topLogprobs: null,
      promptLogprobs: null,
      signal: null,
    })
    for await (const event of generation) void event
  })
  await Promise.all(answers)
  await engine.close()
  return steps.slice(WARM_UP)
}

/** The same without anybody between the steps, of base rows. */
async function queued(runtime: Runtime): Promise<Step[]> {
  const step = decodeStep(Array(SEQUENCES).fill(null), 32)
  const results = await Promise.all(Array.from({ length: QUEUED }, () => runtime.runner.submit(step)))
  return results.flatMap(({ gpuTime }) => gpuTime ?? [])
}

interface Gap {
  readonly ms: number
  /** Of these, before the next step was submitted; and of these, while JavaScript waited for a core. */
  readonly lateMs: number
  readonly waitingMs: number | null
}

/** JavaScript's clock is ahead of the device's by as much as no result came before its step ended. */
function gapsOf(steps: readonly Step[]): Gap[] {
  const ahead = Math.min(...steps.map(({ arrivedAt = Infinity, end }) => arrivedAt - end))
  return steps.slice(1).map((step, i) => {
    const before = steps[i]!
    const ms = step.begin - before.end
    const lateMs = Math.min(Math.max(0, (step.submittedAt ?? -Infinity) - ahead - before.end), Math.max(0, ms))
    const waited = step.thread && before.thread ? step.thread[1] - before.thread[1] : null
    return { ms, lateMs, waitingMs: waited === null ? null : Math.min(lateMs, waited) }
  })
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

/** `runs`: each without a pause. */
function figures(runs: readonly (readonly Step[])[]) {
  const steps = runs.flat()
  const gaps = runs.flatMap(gapsOf)
  const all = sum(runs.map((run) => run.at(-1)!.end - run[0]!.begin))
  const share = (ms: (gap: Gap) => number): number => sum(gaps.map(ms)) / all
  const stepMs = median(steps.map(({ begin, end }) => end - begin))
  const gapMs = median(gaps.map(({ ms }) => ms))
  const threads = runs.flatMap((run) => {
    const [first, last] = [run[0]!.thread, run.at(-1)!.thread]
    return first && last ? [(last[0] - first[0]) / (run.length - 1)] : []
  })
  return {
    stepMs,
    gapMs: { median: gapMs, worst: Math.max(...gaps.map(({ ms }) => ms)) },
    idleShare: {
      /** Of a usual step and the usual gap behind it. */
      median: gapMs / (gapMs + stepMs),
      bestRound: Math.min(
        ...runs.map((run) => sum(gapsOf(run).map(({ ms }) => ms)) / (run.at(-1)!.end - run[0]!.begin)),
      ),
      all: share(({ ms }) => ms),
      late: share(({ lateMs }) => lateMs),
      waitingForACore: gaps.some(({ waitingMs }) => waitingMs === null) ? null : share(({ waitingMs }) => waitingMs!),
    },
    /** On a core, of JavaScript's thread: also while it looks whether a result is there. */
    threadMsPerStep: threads.length > 0 ? median(threads) : null,
  }
}

const rounds = numberOption('rounds', 5)
const layers = numberOption('layers', 2)
const gpu = await openGpu()
const sizes = { maxModelLen: 512, maxNumSeqs: SEQUENCES, kvCacheMemory: 96 * MIB, loraMemory: 32 * MIB }
const changes = { num_hidden_layers: layers, vocab_size: 4096 }
const runtime = await Runtime.open(gpu, smolFolder(readModelSpec, changes), { sizes })
await runtime.tuner.done
const synthetic = new SyntheticAdapters(runtime.spec)
for (let i = 0; i < ADAPTERS; i++) runtime.adapters.add(`${i}`, 'made up', synthetic.make(`${i}`, 8))
if (!gpu.can.timestamps) throw new Error('This device has no timestamps: nobody knows when it stands idle')

gpu.profile('steps')
await decode(runtime, null)
const runs = { queued: [] as Step[][], ahead: [] as Step[][], plain: [] as Step[][] }
for (let round = 0; round < rounds; round++) {
  for (let i = 0; i < TOKENS / QUEUED / 2; i++) runs.queued.push(await queued(runtime))
  runs.ahead.push(await decode(runtime, null))
  runs.plain.push(await decode(runtime, 1))
}
console.log(
  rounded({
    device: gpu.can.adapter,
    rounds,
    layers,
    'S12 idle': {
      'all queued': figures(runs.queued),
      ahead: figures(runs.ahead),
      'plain loop': figures(runs.plain),
    },
  }),
)
await runtime.close()
gpu.close()
