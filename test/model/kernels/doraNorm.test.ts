import { describe, expect } from 'vitest'
import { entryPlace, entryWord } from '../../../src/model/adapterTable.ts'
import {
  doraEmbedNormGrid,
  doraEmbedNormJob,
  doraEmbedNormKernel,
  doraEmbedNormParams,
} from '../../../src/model/kernels/doraEmbedNorm.ts'
import { doraNormGrid, doraNormJob, doraNormKernel, doraNormParams } from '../../../src/model/kernels/doraNorm.ts'
import type { FloatDtype } from '../../../src/weights/dtype.ts'
import { adapterPages, exact, PAGES_SPEC, vector } from '../../support/adapterPages.ts'
import { encode } from '../../support/encode.ts'
import { type KernelBench, TEAM_DEVICES } from '../../support/gpu.ts'
import { expectNear } from '../../support/near.ts'
import { Random } from '../../support/random.ts'
import { doraEmbedNormReference, doraNormReference } from '../../support/reference/doraNorm.ts'
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

describe.each(TEAM_DEVICES)('dora_embed_norm $name', ({ it }) => {
  it.for([
    ['F32', 'F32'],
    ['BF16', 'F16'],
  ] as const)(
    'divides by the lengths of columns, job after job: weights %s, adapter %s',
    async ([type, dtype], { bench }) => {
      const { hiddenSize: hidden, vocabSize: vocab } = PAGES_SPEC
      const random = new Random(9)
      const [rank, scale] = [5, 0.75]
      const w = encode(random.floats(vocab * hidden), type).values
      const a = exact(random.floats(rank * vocab), dtype, vocab)
      const b = exact(random.floats(hidden * rank), dtype, rank)
      const magnitude = random.floats(hidden, 2)
      const lora = { rank, scale, a: a.tensor, b: b.tensor, magnitude: vector(magnitude) }
      const pages = adapterPages([null, { embedding: { lora } }])
      const slab = await bench.upload('slab', pages.slab)
      const squares = await bench.upload('squares', new Float32Array(hidden).fill(Number.NaN))
      const place = entryPlace(PAGES_SPEC, 0, 'embedding')
      // Two shards, the first one in two jobs.
      const jobs = [
        { shardStart: 0, first: 0, count: 13, begins: true, ends: false },
        { shardStart: 0, first: 13, count: 19, begins: false, ends: false },
        { shardStart: 32, first: 0, count: 20, begins: false, ends: true },
      ]
      for (const { shardStart, ...job } of jobs) {
        const buffers = {
          params: doraEmbedNormParams({ hidden, shardStart, ...place }),
          job: doraEmbedNormJob({ slot: 1, ...job }),
          table: pages.table,
          w: encode(w.subarray(shardStart * hidden), type).words,
          slab,
          squares,
        }
        await bench.run(doraEmbedNormKernel(bench.gpu.can, type), buffers, doraEmbedNormGrid(bench.gpu.can, hidden))
      }
      const after = await bench.floats(slab)
      const slotStart = pages.table.length / 2
      const at = pages.table[slotStart + entryWord(PAGES_SPEC, 0, 'embedding') + 8]!
      const expected = doraEmbedNormReference(w, { a: a.values, b: b.values, rank, scale, magnitude })
      expectNear(after.subarray(at, at + hidden), expected, { relative: 3e-6, because: 'f32 sums in another order' })
      after.set(new Float32Array(pages.slab.buffer).subarray(at, at + hidden), at)
      expect(new Uint32Array(after.buffer)).toEqual(pages.slab)
    },
  )
})
