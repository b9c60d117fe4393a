/**
 * A cold adapter (S10 of docs/performance.md): what bringing it to the GPU costs those who are decoding, in steps, and how
 * fast its bytes go up against bare uploads. SmolLM2-135M's shape, f16, made-up weights; rounds interleaved.
 *
 *   node bench/run.mjs bench/coldAdapter.ts [--rounds=7] [--rank=16] [--layers=30]
 */
import { SyntheticAdapters } from '../src/bench/synthetic.ts'
import { Engine } from '../src/engine/engine.ts'
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { readModelSpec } from '../src/model/config.ts'
import { numberOption } from './support/options.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded } from './support/timing.ts'

const MIB = 2 ** 20
const SEQUENCES = 8
/** Steps before the adapter is asked for, and after it has come. */
const QUIET_STEPS = 6
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

const rounds = numberOption('rounds', 7)
const rank = numberOption('rank', 16)
const layers = numberOption('layers', 30)
const gpu = await openGpu()
const sizes = { maxModelLen: 512, maxNumSeqs: SEQUENCES, kvCacheMemory: 96 * MIB, loraMemory: 96 * MIB }
const folder = smolFolder(readModelSpec, { num_hidden_layers: layers })
const runtime = await Runtime.open(gpu, folder, { sizes })
const adapter = new SyntheticAdapters(runtime.spec)
let made = 0

/** Registers one that was never on the GPU. */
function cold(): string {
  const name = `cold-${made++}`
  runtime.adapters.add(name, 'made up', adapter.make(name, rank), { store: adapter.store(name, rank) })
  return name
}

/** Decodes until `stop`; calls `onStep` with the time of each result. */
async function decoding(onStep: (at: number) => void, stop: AbortSignal): Promise<void> {
  const engine = new Engine(runtime.runner, {
    observer: {
      step: ({ numLogitsRows, arrivedAt }) => {
        if (numLogitsRows === SEQUENCES) onStep(arrivedAt)
      },
    },
  })
  const generations = Array.from({ length: SEQUENCES }, (_, i) =>
    engine.generate({
      id: `${i}`,
      prompt: [i, 7, 9],
      adapter: null,
      sampling: GREEDY,
      maxTokens: 500,
      minTokens: 0,
      stopIds: [],
      topLogprobs: null,
      promptLogprobs: null,
      signal: stop,
    }),
  )
  await Promise.all(
    generations.map(async (generation) => {
      for await (const event of generation) void event
    }),
  )
  await engine.close()
}

/** Brings a cold one in while others decode: the longest time between two results around it, and the usual one. */
async function delayed(): Promise<{ usualMs: number; longestMs: number; arrivalMs: number }> {
  const stop = new AbortController()
  const times: number[] = []
  let asked = 0
  let came = 0
  const running = decoding((at) => {
    times.push(at)
    if (times.length === QUIET_STEPS) void bringIn()
    if (came > 0 && at > came && --after === 0) stop.abort()
  }, stop.signal)
  let after = QUIET_STEPS
  const bringIn = async (): Promise<void> => {
    asked = performance.now()
    const lease = runtime.adapters.lease(cold())!
    await lease.ready
    came = performance.now()
    lease.release()
  }
  await running
  const gaps = times.slice(1).map((at, i) => ({ from: times[i]!, to: at, ms: at - times[i]! }))
  const around = gaps.filter(({ from, to }) => to >= asked && from <= came)
  const others = gaps.filter((gap) => !around.includes(gap))
  return {
    usualMs: median(others.map(({ ms }) => ms)),
    longestMs: Math.max(...around.map(({ ms }) => ms)),
    arrivalMs: came - asked,
  }
}

const { byteLength } = adapter.make('size', rank)
const bytes = new Uint8Array(byteLength)
const target = await gpu.allocate({ label: 'bare upload', purpose: 'activations', byteLength })
const bareMs: number[] = []
const idleMs: number[] = []
const busy: Awaited<ReturnType<typeof delayed>>[] = []
for (let round = 0; round < rounds + 1; round++) {
  const start = performance.now()
  await gpu.upload(target, 0, bytes)
  await gpu.idle()
  const uploaded = performance.now()
  const lease = runtime.adapters.lease(cold())!
  await lease.ready
  await gpu.idle()
  const ready = performance.now()
  lease.release()
  const found = await delayed()
  // The first round compiles and touches memory for the first time.
  if (round === 0) continue
  bareMs.push(uploaded - start)
  idleMs.push(ready - uploaded)
  busy.push(found)
}
target.destroy()

const extraSteps = busy.map(({ usualMs, longestMs }) => (longestMs - usualMs) / usualMs)
const gbs = (ms: number) => byteLength / ms / 1e6
console.log(
  rounded({
    device: gpu.can.adapter,
    rounds,
    rank,
    layers,
    adapterBytes: byteLength,
    'S10 extra delay, in steps': {
      best: Math.min(...extraSteps),
      median: median(extraSteps),
      worst: Math.max(...extraSteps),
    },
    'S10 upload rate over bare': {
      best: Math.min(...bareMs) / Math.min(...idleMs),
      median: median(bareMs) / median(idleMs),
    },
    bareGBs: { best: gbs(Math.min(...bareMs)), median: gbs(median(bareMs)) },
    adapterGBs: { best: gbs(Math.min(...idleMs)), median: gbs(median(idleMs)) },
    stepMs: median(busy.map(({ usualMs }) => usualMs)),
    arrivalWhileBusyMs: median(busy.map(({ arrivalMs }) => arrivalMs)),
  }),
)
await runtime.close()
gpu.close()
