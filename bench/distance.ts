/**
 * How far a step is from its device (S7 of docs/performance.md): the weights a second of a decoding step with one row, over
 * those of the base's best matrix alone, and over those of all its matrices alone. SmolLM2-135M's shape, f16, made-up
 * weights; rounds interleaved.
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
import { median, rounded } from './support/timing.ts'

const MIB = 2 ** 20
const CONTEXT = 64
const STEPS = 4

const rounds = numberOption('rounds', 7)
const gpu = await openGpu()
const sizes = { maxModelLen: 512, maxNumSeqs: 1, kvCacheMemory: 32 * MIB, loraMemory: MIB, maxNumBatchedTokens: 64 }
const runtime = await Runtime.open(gpu, smolFolder(readModelSpec), { sizes })
await runtime.tuner.done
const { spec } = runtime
const bench = await Workbench.open(gpu, spec.vocabSize * spec.hiddenSize * 2)
const shapes = matrixShapes(spec)
const matrices = shapes.map((shape) => matmulCase(shape, 'F16', 1, bench.poolBytes))
const measurement = await Measurement.prepare(bench, [...matrices, ...deviceCases(gpu, bench.poolBytes)])

const step = decodeStep([null], CONTEXT)
const wall: number[] = []
const device: number[] = []
await runtime.runner.submit(step)
for (let round = 0; round < rounds; round++) {
  await measurement.round()
  const start = performance.now()
  for (let i = 0; i < STEPS; i++) {
    const { gpuTime } = await runtime.runner.submit(step)
    if (gpuTime) device.push(gpuTime.end - gpuTime.begin)
  }
  wall.push((performance.now() - start) / STEPS)
}

type Pick = (values: readonly number[]) => number
const best: Pick = (values) => Math.min(...values)
const timesOf = ({ deviceMs, wallMs }: Measured): readonly number[] => (deviceMs.length > 0 ? deviceMs : wallMs)
const alone = measurement.results.slice(0, matrices.length)
/** How often a step multiplies with each of them. */
const uses = shapes.map(({ name }) => (name === 'lm_head' ? 1 : spec.numLayers))
const weights = alone.reduce((sum, { test }, i) => sum + test.macs * uses[i]!, 0)

/** 10^9 weights a second. */
function figures(pick: Pick) {
  const rates = alone.map((one) => one.test.macs / pick(timesOf(one)) / 1e6)
  const allMs = alone.reduce((sum, one, i) => sum + pick(timesOf(one)) * uses[i]!, 0)
  const stepMs = pick(device.length > 0 ? device : wall)
  const inStep = weights / stepMs / 1e6
  return {
    stepMs,
    wallMs: pick(wall),
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
  }),
)
measurement.close()
bench.close()
await runtime.close()
gpu.close()
