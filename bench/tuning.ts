/**
 * Every candidate of every kernel that can be tuned, checked and timed, rounds interleaved: what the tuner would find if it
 * had all the time in the world, and what a class of devices should have as its defaults. SmolLM2-135M's shape, f16.
 *
 *   node bench/run.mjs bench/tuning.ts [--rounds=30] [--only=shrink]
 */
import { REFERENCE_CONFIG } from '../src/bench/referenceModel.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { readModelSpec } from '../src/model/config.ts'
import { defaultTuning } from '../src/model/kernels/tuning.ts'
import { DeviceTrials, type Trial } from '../src/model/tuner/trials.ts'
import { tunablesOf } from '../src/model/tuner/tunable.ts'
import type { JsonObject } from '../src/weights/json.ts'
import { numberOption, textOption } from './support/options.ts'
import { median, rounded } from './support/timing.ts'

const rounds = numberOption('rounds', 30)
const only = textOption('only') ?? ''
const gpu = await openGpu()
const spec = readModelSpec(REFERENCE_CONFIG as JsonObject)
const trials = new DeviceTrials(gpu)
const usual = defaultTuning(gpu.can)
const report: Record<string, unknown> = { device: gpu.can.adapter, rounds }
for (const tunable of tunablesOf(gpu.can, spec, 'F16').filter(({ name }) => name.includes(only))) {
  const running: { label: string; firstMs: number; trial: Trial; us: number[] }[] = []
  for (const candidate of tunable.candidates) {
    const start = performance.now()
    const trial = await trials.prepare(tunable, candidate)
    running.push({ label: candidate.label, firstMs: performance.now() - start, trial, us: [] })
  }
  for (let round = 0; round < rounds; round++) {
    for (const { trial, us } of running) us.push(1000 * (await trial.time()))
  }
  for (const { trial } of running) trial.close()
  report[tunable.name] = {
    default: tunable.chosen(usual),
    ...Object.fromEntries(
      running.map(({ label, firstMs, us }) => {
        const [best, middle] = [Math.min(...us), median(us)]
        return [label, { bestUs: Math.round(best), medianUs: Math.round(middle), firstMs: Math.round(firstMs) }]
      }),
    ),
  }
}
console.log(rounded(report))
gpu.close()
