/**
 * What halves bring in speed: steps that decode and a step that reads, with activations, and keys and values, in f32 and in f16.
 * SmolLM2-135M's shape, f16 weights, made up; rounds interleaved, whoever begins changes. Ratios are of CPU time, the software
 * device's threads included: below 1, halves are faster.
 *
 *   node bench/run.mjs bench/halves.ts [--rounds=15]
 */
import { tryHalves } from '../src/bench/doctor/halfTrial.ts'
import type { Batch } from '../src/engine/batch.ts'
import { Runtime } from '../src/engine/runtime.ts'
import type { EngineSizes } from '../src/engine/sizes.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { readModelSpec } from '../src/model/config.ts'
import { decodeStep } from './support/decode.ts'
import { numberOption } from './support/options.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded, Stopwatch } from './support/timing.ts'

const MIB = 2 ** 20
const CONTEXT = 256
const PROMPT = 128
const DTYPES: Readonly<Record<string, EngineSizes>> = {
  f32: {},
  'activations f16': { activationDtype: 'F16' },
  'cache f16': { kvCacheDtype: 'F16' },
  'both f16': { activationDtype: 'F16', kvCacheDtype: 'F16' },
}

/** A prompt's first rows; nobody wants their logits. */
const PREFILL: Batch = {
  spans: [
    {
      tokens: Array.from({ length: PROMPT }, (_, i) => (i * 977) % 1000),
      start: 0,
      blockTable: Array.from({ length: PROMPT / 16 }, (_, i) => i),
      slot: null,
      logits: [],
    },
  ],
}
const STEPS: Readonly<Record<string, { readonly batch: Batch; readonly times: number }>> = {
  'decode, 1 row': { batch: decodeStep([null], CONTEXT), times: 4 },
  'decode, 8 rows': { batch: decodeStep(Array(8).fill(null), CONTEXT), times: 2 },
  [`read ${PROMPT} rows`]: { batch: PREFILL, times: 1 },
}

const rounds = numberOption('rounds', 15)
const gpu = await openGpu()
const folder = smolFolder(readModelSpec)
const subjects: { dtypes: string; runtime: Runtime; watches: Record<string, Stopwatch> }[] = []
for (const [dtypes, wanted] of Object.entries(DTYPES)) {
  const sizes = { maxModelLen: 512, maxNumSeqs: 8, loraMemory: MIB, maxNumBatchedTokens: PROMPT, ...wanted }
  const runtime = await Runtime.open(gpu, folder, { sizes })
  const watches = Object.fromEntries(Object.keys(STEPS).map((step) => [step, new Stopwatch()]))
  subjects.push({ dtypes, runtime, watches })
}
for (let round = -1; round < rounds; round++) {
  for (const [name, { batch, times }] of Object.entries(STEPS)) {
    for (let i = 0; i < subjects.length; i++) {
      const { runtime, watches } = subjects[(i + round + 1) % subjects.length]!
      // The first is warm-up: shaders are compiled on the way.
      const watch = round < 0 ? new Stopwatch() : watches[name]!
      await watch.time(() => runtime.runner.submit(batch), times)
    }
  }
}

const [plain] = subjects
const figures = Object.keys(STEPS).map((step) => {
  const of = ({ watches }: (typeof subjects)[number]) => {
    const { cpu, wall } = watches[step]!
    const against = plain!.watches[step]!
    return {
      cpuMs: median(cpu),
      bestMs: Math.min(...wall),
      'CPU time of f32, median of rounds': median(cpu.map((ms, round) => ms / against.cpu[round]!)),
      'CPU time of f32, best': Math.min(...cpu) / Math.min(...against.cpu),
    }
  }
  return [step, Object.fromEntries(subjects.map((subject) => [subject.dtypes, of(subject)]))] as const
})
const { spec, tuner } = plain!.runtime
const weights = tuner.dtypes.weights
for (const { runtime } of subjects) await runtime.close()
const trial = await tryHalves(gpu, spec, weights)
console.log(
  rounded({
    device: gpu.can.adapter,
    shaderF16: gpu.can.f16,
    rounds,
    context: CONTEXT,
    ...Object.fromEntries(figures),
    'matrices alone, as doctor --model measures them': trial,
  }),
)
gpu.close()
