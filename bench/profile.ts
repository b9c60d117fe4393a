/**
 * Where a step's time goes, kernel by kernel: a step of one base row, one of 8 rows of 8 adapters, and 64 tokens of a prompt. Each
 * dispatch has a compute pass of its own then, with a timestamp before and behind it, which costs by itself; so the same step is
 * timed as a whole too, rounds interleaved, and what lies between the two is stated. SmolLM2-135M's shape, f16, made-up
 * weights.
 *
 *   node bench/run.mjs bench/profile.ts [--rounds=7] [--rank=16] [--context=64]
 */
import { matrixShapes } from '../src/bench/kernels/layerCases.ts'
import { SyntheticAdapters } from '../src/bench/synthetic.ts'
import type { Batch } from '../src/engine/batch.ts'
import { Runtime } from '../src/engine/runtime.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { readModelSpec } from '../src/model/config.ts'
import { decodeStep } from './support/decode.ts'
import { numberOption } from './support/options.ts'
import { smolFolder } from './support/smol.ts'
import { median, rounded } from './support/timing.ts'

const MIB = 2 ** 20
const ROWS = 8
const PROMPT = 64

const rounds = numberOption('rounds', 7)
const rank = numberOption('rank', 16)
const context = numberOption('context', 64)

// Dawn rounds timestamps to 2^16 ns otherwise, which is longer than most dispatches.
const gpu = await openGpu({}, ['disable-dawn-features=timestamp_quantization'])
if (!gpu.can.timestamps) throw new Error('This device has no timestamps')
const sizes = {
  maxModelLen: Math.max(512, context + 16),
  maxNumSeqs: ROWS,
  kvCacheMemory: 256 * MIB,
  loraMemory: 512 * MIB,
  maxNumBatchedTokens: PROMPT,
}
const runtime = await Runtime.open(gpu, smolFolder(readModelSpec), { sizes })
await runtime.tuner.done
const synthetic = new SyntheticAdapters(runtime.spec)
const slots: number[] = []
for (let i = 0; i < ROWS; i++) {
  runtime.adapters.add(`${i}`, 'made up', synthetic.make(`${i}`, rank))
  const lease = runtime.adapters.lease(`${i}`)!
  await lease.ready
  slots.push(lease.slot!)
}
const [decoding] = decodeStep([null], 0).spans
const prompt: Batch = {
  spans: [
    {
      ...decoding!,
      tokens: Array.from({ length: PROMPT }, (_, i) => (i * 31) % 1000),
      start: 0,
      blockTable: Array.from({ length: Math.ceil(PROMPT / 16) }, (_, i) => i),
      logits: [{ ...decoding!.logits[0]!, row: PROMPT - 1 }],
    },
  ],
}

interface Case {
  readonly name: string
  readonly rows: number
  readonly batch: Batch
  /** Of a round. */
  readonly steps: number
  /** Of whole steps. */
  readonly stepMs: number[]
  /** Of each kernel in a step, by round. */
  readonly kernels: Map<string, { readonly calls: number; readonly ms: number[] }>
}

const cases: readonly Case[] = [
  { name: 'one row of the base', rows: 1, batch: decodeStep([null], context), steps: 4 },
  { name: `${ROWS} rows of ${ROWS} adapters, r = ${rank}`, rows: ROWS, batch: decodeStep(slots, context), steps: 2 },
  { name: `${PROMPT} tokens of a prompt`, rows: PROMPT, batch: prompt, steps: 1 },
].map((each) => ({ ...each, stepMs: [], kernels: new Map() }))

for (const { batch } of cases) await runtime.runner.submit(batch)
for (let round = 0; round < rounds; round++) {
  for (const { batch, steps, stepMs, kernels } of cases) {
    gpu.profile('steps')
    let sum = 0
    for (let i = 0; i < steps; i++) {
      const { gpuTime } = await runtime.runner.submit(batch)
      sum += gpuTime!.end - gpuTime!.begin
    }
    stepMs.push(sum / steps)
    const profiler = gpu.profile('kernels')!
    for (let i = 0; i < steps; i++) await runtime.runner.submit(batch)
    for (const { label, calls, milliseconds } of profiler.times()) {
      const known = kernels.get(label) ?? { calls: calls / steps, ms: [] }
      known.ms.push(milliseconds / steps)
      kernels.set(label, known)
    }
    gpu.profile(null)
  }
}

/** Multiply-adds of the base's matrices in one dispatch, by label. */
const macs = new Map(matrixShapes(runtime.spec).map(({ name, in: inputs, out }) => [`matmul ${name}`, inputs * out]))

/** Shares are of the best rounds: what others do on the machine meanwhile makes a kernel longer, never shorter. */
function figures({ rows, stepMs, kernels }: Case) {
  const all = [...kernels].map(([kernel, { calls, ms }]) => {
    const best = Math.min(...ms)
    const computed = macs.get(kernel)
    const numRows = kernel === 'matmul lm_head' && rows === PROMPT ? 1 : rows
    return {
      kernel,
      calls,
      us: { best: (1000 * best) / calls, median: (1000 * median(ms)) / calls },
      ms: best,
      gigaMacs: computed === undefined ? null : (computed * numRows * calls) / best / 1e6,
    }
  })
  const sum = all.reduce((total, { ms }) => total + ms, 0)
  const kinds = new Map<string, number>()
  for (const { kernel, ms } of all) {
    const kind = kernel.endsWith('norm') ? 'norms' : kernel === 'matmul lm_head' ? kernel : kernel.split(' ')[0]!
    kinds.set(kind, (kinds.get(kind) ?? 0) + ms / sum)
  }
  return {
    stepMs: { best: Math.min(...stepMs), median: median(stepMs) },
    kernelsMs: sum,
    /** Below 1: what lies between the dispatches of a step; above: what passes of their own cost. */
    ofStep: sum / Math.min(...stepMs),
    dispatches: all.reduce((total, { calls }) => total + calls, 0),
    shares: Object.fromEntries([...kinds].toSorted(([, one], [, other]) => other - one)),
    kernels: all.toSorted((one, other) => other.ms - one.ms).map((each) => ({ ...each, share: each.ms / sum })),
  }
}

console.log(
  rounded({
    device: gpu.can.adapter,
    rounds,
    context,
    steps: Object.fromEntries(cases.map((each) => [each.name, figures(each)])),
  }),
)
await runtime.close()
gpu.close()
