/**
 * What adapters cost that nobody uses (S2 of docs/performance.md): the same base step in two runtimes without any adapter and
 * in one with a hundred on the GPU, rounds interleaved, who begins changing. How far the two equal ones are from each other
 * says what the third ratio is worth. SmolLM2-135M's shape, f16, made-up weights.
 *
 *   node bench/run.mjs bench/residents.ts [--rounds=12] [--layers=30]
 */
import { SyntheticAdapters } from '../src/bench/synthetic.ts'
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { readModelSpec } from '../src/model/config.ts'
import { decodeStep } from './support/decode.ts'
import { numberOption } from './support/options.ts'
import { smolFolder } from './support/smol.ts'
import { rounded, Stopwatch, speedOver } from './support/timing.ts'

const MIB = 2 ** 20
const ROWS = 8
const CONTEXT = 64
const STEPS = 2
const RESIDENTS = 100

const rounds = numberOption('rounds', 12)
const layers = numberOption('layers', 30)
const gpu = await openGpu()
const step = decodeStep(Array(ROWS).fill(null), CONTEXT)
const sizes = { maxModelLen: 256, maxNumSeqs: ROWS, kvCacheMemory: 64 * MIB, maxNumBatchedTokens: 64 }
/** With the same kernels each, whatever a tuner would choose. */
const open = (loraMemory: number) =>
  Runtime.open(gpu, smolFolder(readModelSpec, { num_hidden_layers: layers }), {
    sizes: { ...sizes, loraMemory },
    tuning: { mode: 'never' },
  })

const full = await open(1200 * MIB)
const synthetic = new SyntheticAdapters(full.spec)
for (let i = 0; i < RESIDENTS; i++) {
  full.adapters.add(`${i}`, 'made up', synthetic.make(`${i}`, 16))
  const lease = full.adapters.lease(`${i}`)!
  await lease.ready
  lease.release()
}
const runs = [
  { name: 'none', runtime: await open(MIB), timing: new Stopwatch() },
  { name: 'none again', runtime: await open(MIB), timing: new Stopwatch() },
  { name: 'hundred', runtime: full, timing: new Stopwatch() },
]
const counted = []
for (const { name, runtime } of runs) {
  await runtime.runner.submit(step)
  const start = gpu.counters.snapshot()
  await runtime.runner.submit(step)
  counted.push([name, gpu.counters.since(start)] as const)
}
for (let round = 0; round < rounds; round++) {
  for (let i = 0; i < runs.length; i++) {
    const { runtime, timing } = runs[(round + i) % runs.length]!
    await timing.time(() => runtime.runner.submit(step), STEPS)
  }
}
const [none, again, hundred] = runs.map(({ timing }) => timing)
console.log(
  rounded({
    device: gpu.can.adapter,
    rounds,
    layers,
    residents: full.adapters.residentCount,
    'S2 base step, 100 adapters resident against none': speedOver(none!, hundred!),
    'the same of two runtimes without any': speedOver(none!, again!),
    counters: Object.fromEntries(counted),
  }),
)
for (const { runtime } of runs) await runtime.close()
gpu.close()
