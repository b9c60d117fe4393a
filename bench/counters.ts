/**
 * What a step asks of a device (S11 of docs/performance.md): the same on every one, so nothing is computed here, on Dawn's
 * null backend. SmolLM2-135M's shape, f16, made-up weights, adapters of rank 16 on all seven linear layers.
 *
 *   node bench/run.mjs bench/counters.ts
 */
import { matrixShapes } from '../src/bench/kernels/layerCases.ts'
import { SyntheticAdapters } from '../src/bench/synthetic.ts'
import type { Batch } from '../src/engine/batch.ts'
import { Runtime } from '../src/engine/runtime.ts'
import type { CounterValues } from '../src/gpu/counters.ts'
import { openGpu } from '../src/gpu/open.node.ts'
import { readModelSpec } from '../src/model/config.ts'
import { decodeStep } from './support/decode.ts'
import { smolFolder } from './support/smol.ts'
import { rounded } from './support/timing.ts'

const MIB = 2 ** 20
const ROWS = 8
const CONTEXT = 64

const gpu = await openGpu({}, ['backend=null'])
const sizes = { maxModelLen: 512, maxNumSeqs: ROWS, kvCacheMemory: 64 * MIB, loraMemory: 128 * MIB }
const runtime = await Runtime.open(gpu, smolFolder(readModelSpec), { sizes, tuning: { mode: 'never' } })
const { spec } = runtime
const synthetic = new SyntheticAdapters(spec)
const leases = Array.from({ length: ROWS }, (_, i) => {
  runtime.adapters.add(`${i}`, 'made up', synthetic.make(`${i}`, 16))
  return runtime.adapters.lease(`${i}`)!
})
await Promise.all(leases.map(({ ready }) => ready))

/** Of a step that is not the first of its kind. */
async function counted(batch: Batch): Promise<CounterValues> {
  await runtime.runner.submit(batch)
  const before = gpu.counters.snapshot()
  await runtime.runner.submit(batch)
  return gpu.counters.since(before)
}

const base = await counted(decodeStep(Array<null>(ROWS).fill(null), CONTEXT))
const mixed = await counted(
  decodeStep(
    leases.map(({ slot }) => slot),
    CONTEXT,
  ),
)
/** Outside the layers: embedding, final norm, lm_head, sampler. */
const OUTSIDE = 4
const perStep = ({
  passes,
  submits,
  uploads,
  uploadedBytes,
  readbacks,
  buffersCreated,
  bindGroupsCreated,
}: CounterValues) => ({
  passes,
  submits,
  tableUploads: uploads,
  tableBytes: uploadedBytes,
  readbacks,
  buffersCreated,
  bindGroupsCreated,
})
console.log(
  rounded({
    rows: ROWS,
    'S11 base dispatches per layer': (base.dispatches - OUTSIDE) / spec.numLayers,
    'S11 LoRA dispatches per layer': (mixed.dispatches - base.dispatches) / spec.numLayers,
    'S11 base step': perStep(base),
    'S11 step of 8 adapters': perStep(mixed),
    weightBytesPerStep:
      2 *
      matrixShapes(spec).reduce(
        (sum, { name, in: inputs, out }) => sum + inputs * out * (name === 'lm_head' ? 1 : spec.numLayers),
        0,
      ),
  }),
)
for (const lease of leases) lease.release()
await runtime.close()
gpu.close()
