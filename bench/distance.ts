/**
 * How far a step is from its device (S7 of docs/performance.md): the weights a second of a decoding step with one row, over
 * those of the base's best matrix alone, and over those of all its matrices alone; by the device's clock, and by processor time,
 * which other work on the machine disturbs least. SmolLM2-135M's shape, f16, made-up weights; rounds interleaved.
 *
 *   node bench/run.mjs bench/distance.ts [--rounds=7]
 */
import { deviceCases } from '../src/bench/kernels/kernelCases.ts'
import { matmulCase, matrixShapes } from '../src/bench/kernels/layerCases.ts'
import { type Measured, Measurement } from '../src/bench/kernels/measure.ts'
import { Workbench } from '../src/bench/kernels/workbench.ts'
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { readModelSpec } from '../src/model/config.ts'
import { decodeStep } from './support/decode.ts'
import { numberOption } from './support/options.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded, Stopwatch } from './support/timing.ts'

const MIB = 2 ** 20
const CONTEXT = 64
const STEPS = 4
/** Of a submit: who waits keeps a core busy for the first milliseconds (src/gpu/nap.ts), which is processor time, too. */
const LEAST_MS = 50

const rounds = numberOption('rounds', 7)
const gpu = await openGpu()
const sizes = { maxModelLen: 512, maxNumSeqs: 1, kvCacheMemory: 32 * MIB, loraMemory: MIB, maxNumBatchedTokens: 64 }
const runtime = await Runtime.open(gpu, smolFolder(readModelSpec), { sizes })
await runtime.tuner.done
const { spec } = runtime
const bench = await Workbench.open(gpu, spec.vocabSize * spec.hiddenSize * 2)
const shapes = matrixShapes(spec)
const matrices = shapes.map((shape) => matmulCase(shape, 'F16', 1, bench.poolBytes))
const measurement = await Measurement.prepare(bench, [...matrices, ...deviceCases(gpu, bench.poolBytes)], {
  leastMs: LEAST_MS,
  cpuMs() {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  },
})

const step = decodeStep([null], CONTEXT)
const watch = new Stopwatch()
const device: number[] = []
await runtime.runner.submit(step)
for (let round = 0; round < rounds; round++) {
  await measurement.round()
  await watch.time(async () => {
    const { gpuTime } = await runtime.runner.submit(step)
    if (gpuTime) device.push(gpuTime.end - gpuTime.begin)
  }, STEPS)
}

type Pick = (values: readonly number[]) => number
const best: Pick = (values) => Math.min(...values)
/** In ms by one of the clocks: of a step, and of a matrix alone. */
interface Clock {
  readonly step: readonly number[]
  of(alone: Measured): readonly number[]
}
const theDevices: Clock =
  device.length > 0
    ? { step: device, of: ({ deviceMs }) => deviceMs }
    : { step: watch.wall, of: ({ wallMs }) => wallMs }
const processors: Clock = { step: watch.cpu, of: ({ cpuMs }) => cpuMs }
const alone = measurement.results.slice(0, matrices.length)
/** How often a step multiplies with each of them. */
const uses = shapes.map(({ name }) => (name === 'lm_head' ? 1 : spec.numLayers))
const weights = alone.reduce((sum, { test }, i) => sum + test.macs * uses[i]!, 0)

/** 10^9 weights a second. */
function figures(pick: Pick, clock = theDevices) {
  const rates = alone.map((one) => one.test.macs / pick(clock.of(one)) / 1e6)
  const allMs = alone.reduce((sum, one, i) => sum + pick(clock.of(one)) * uses[i]!, 0)
  const stepMs = pick(clock.step)
  const inStep = weights / stepMs / 1e6
  return {
    stepMs,
    wallMs: pick(watch.wall),
    matricesAloneMs: allMs,
    rateOfStep: inStep,
    ratesAlone: Object.fromEntries(alone.map(({ test }, i) => [test.shape, rates[i]])),
    'S7 of the best matrix': inStep / Math.max(...rates),
    'S7 of all matrices alone': allMs / stepMs,
  }
}

console.log(
  rounded({
    device: gpu.can.adapter,
    rounds,
    clock: device.length > 0 ? 'device' : 'wall',
    weightsPerToken: weights,
    best: figures(best),
    median: figures(median),
    cpu: figures(median, processors),
  }),
)
measurement.close()
bench.close()
await runtime.close()
gpu.close()
