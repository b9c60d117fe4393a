import { describe, expect } from 'vitest'
import { doraNormGrid, doraNormJob, doraNormKernel, doraNormParams } from '../../../src/model/kernels/doraNorm.ts'
import type { FloatDtype } from '../../../src/weights/dtype.ts'
import { encode } from '../../support/encode.ts'
import { type KernelBench, TEAM_DEVICES } from '../../support/gpu.ts'
import { expectNear } from '../../support/near.ts'
import { Random } from '../../support/random.ts'
import { doraNormReference } from '../../support/reference/doraNorm.ts'
import { type LoraAdapter, LoraPages, randomAdapter } from '../../support/reference/lora.ts'

const PLACE = { slot: 1, layer: 1, numLayers: 2, group: 2 }
const INPUTS = 100
const OUTS = [96, 36, 36]
const WIDTH = 168

interface Job {
  readonly rowStart: number
  readonly first: number
  readonly rows: number
}

/** Does the jobs one after the other, each with the shard it is in, and returns the slab and where the vectors lie. */
async function run(bench: KernelBench, adapter: LoraAdapter, w: Float32Array, type: FloatDtype, jobs: readonly Job[]) {
  const pages = new LoraPages()
  pages.add(adapter, PLACE)
  const slab = await bench.upload('slab', pages.slab)
  const table = pages.table(2, PLACE.numLayers)
  for (const { rowStart, first, rows } of jobs) {
    const choice = doraNormKernel(bench.gpu.can, type)
    const buffers = {
      params: doraNormParams({ ...PLACE, outs: OUTS, in: INPUTS, rowStart }),
      job: doraNormJob(PLACE.slot, first, rows),
      table,
      w: encode(w.subarray(rowStart * INPUTS), type).words,
      slab,
    }
    await bench.run(choice, buffers, doraNormGrid(bench.gpu.can, rows))
  }
  const entry = ((PLACE.slot * PLACE.numLayers + PLACE.layer) * 4 + PLACE.group) * 32
  const offsets = OUTS.map((_, projection) => table[entry + 4 + projection * 8 + 4]!)
  return { before: new Float32Array(pages.slab.buffer), after: await bench.floats(slab), offsets }
}

describe.each(TEAM_DEVICES)('dora_norm $name', ({ it }) => {
  it.for([
    ['F32', 'F32'],
    ['F16', 'F16'],
    ['BF16', 'F32'],
    ['F32', 'BF16'],
  ] as const)(
    'divides the magnitudes by the lengths of rows: weights %s, adapter %s',
    async ([type, dtype], { bench }) => {
      const random = new Random(7)
      const w = encode(random.floats(WIDTH * INPUTS), type).values
      const adapter = randomAdapter(random, dtype, INPUTS, OUTS, [8, 0, 5], { rowScale: true, bias: true })
      // A matrix in two shards, the first one in two jobs.
      const { before, after, offsets } = await run(bench, adapter, w, type, [
        { rowStart: 0, first: 0, rows: 60 },
        { rowStart: 0, first: 60, rows: 68 },
        { rowStart: 128, first: 0, rows: 40 },
      ])
      const expected = Float64Array.from(before)
      let start = 0
      adapter.parts.forEach((part, i) => {
        if (part) expected.set(doraNormReference(w.subarray(start * INPUTS), part), offsets[i])
        start += OUTS[i]!
      })
      for (const [i, part] of adapter.parts.entries()) {
        if (!part) continue
        const at = offsets[i]!
        expectNear(after.subarray(at, at + OUTS[i]!), expected.subarray(at, at + OUTS[i]!), {
          relative: 3e-6,
          because: 'f32 sums in another order',
        })
        after.set(before.subarray(at, at + OUTS[i]!), at)
      }
      // A, B and the biases are as they were.
      expect(new Uint32Array(after.buffer)).toEqual(new Uint32Array(before.buffer))
    },
  )

  it('leaves an adapter without row scales alone', async ({ bench }) => {
    const random = new Random(8)
    const w = random.floats(WIDTH * INPUTS)
    const plain = randomAdapter(random, 'F16', INPUTS, OUTS, [8, 8, 8], { bias: true })
    const job = [{ rowStart: 0, first: 0, rows: WIDTH }]
    const { before, after } = await run(bench, plain, w, 'F32', job)
    expect(new Uint32Array(after.buffer)).toEqual(new Uint32Array(before.buffer))
  })
})
