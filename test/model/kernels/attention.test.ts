import { describe, expect } from 'vitest'
import type { Capabilities } from '../../../src/gpu/capabilities.ts'
import {
  ATTENTION_SPLIT,
  type AttentionShape,
  attentionGrid,
  attentionKernel,
  attentionMergeGrid,
  attentionMergeKernel,
  attentionParams,
  attentionPartialBytes,
} from '../../../src/model/kernels/attention.ts'
import { type AttentionTuning, RUN_KINDS } from '../../../src/model/kernels/tuning.ts'
import { BLOCK_SIZE } from '../../../src/model/kvCache.ts'
import { it as itOnDevice, type KernelBench, TEAM_DEVICES } from '../../support/gpu.ts'
import { expectNear } from '../../support/near.ts'
import { Random } from '../../support/random.ts'
import { attentionReference } from '../../support/reference/attention.ts'
import { stepWordsOf, type TestRow, testRunsOf } from '../../support/steps.ts'

const TOLERANCE = { absolute: 3e-6, relative: 1e-5, because: 'f32 sums in another order and the exp() of the device' }

/** Rows with these contexts (tokens seen, own token included), each a sequence of its own in scattered blocks. */
interface Scene {
  readonly shape: AttentionShape
  readonly rows: readonly (TestRow & { readonly position: number; readonly blocks: readonly number[] })[]
  readonly qkv: Float32Array<ArrayBuffer>
  readonly keys: Float32Array<ArrayBuffer>
  readonly values: Float32Array<ArrayBuffer>
  readonly splits: number
}

/** What no row may see is NaN: slots behind the last token of a sequence, and blocks that belong to none. */
function scene(shape: AttentionShape, contexts: readonly number[]): Scene {
  const { heads, kvHeads, headDim } = shape
  const random = new Random(headDim + contexts.length)
  const counts = contexts.map((context) => Math.ceil(context / BLOCK_SIZE))
  const numBlocks = counts.reduce((sum, count) => sum + count, 0) + 3
  const order = random.permutation(numBlocks)
  const width = kvHeads * headDim
  const keys = new Float32Array(numBlocks * BLOCK_SIZE * width).fill(Number.NaN)
  const values = keys.slice()
  const rows = contexts.map((context, i) => {
    const blocks = order.splice(0, counts[i]!)
    for (let at = 0; at < context; at++) {
      const slot = blocks[Math.floor(at / BLOCK_SIZE)]! * BLOCK_SIZE + (at % BLOCK_SIZE)
      keys.set(random.floats(width, 2), slot * width)
      values.set(random.floats(width), slot * width)
    }
    return { position: context - 1, blocks }
  })
  const qkv = random.floats(rows.length * (heads + 2 * kvHeads) * headDim, 2)
  return { shape, rows, qkv, keys, values, splits: Math.ceil(Math.max(...contexts) / ATTENTION_SPLIT) }
}

/** The last rows of sequences with these contexts, so many of each; blocks are shared by the rows of one. */
function prefill(shape: AttentionShape, spans: readonly (readonly [context: number, rows: number])[]): Scene {
  const made = scene(
    shape,
    spans.map(([context]) => context),
  )
  const rows = made.rows.flatMap(({ position, blocks }, i) => {
    const count = spans[i]![1]
    return Array.from({ length: count }, (_, row) => ({ position: position - count + 1 + row, blocks }))
  })
  const { heads, kvHeads, headDim } = shape
  return { ...made, rows, qkv: new Random(rows.length).floats(rows.length * (heads + 2 * kvHeads) * headDim, 2) }
}

/** Each row as if it stood alone: what decoding would have made of it. */
const alone = (made: Scene): Scene => ({
  ...made,
  rows: made.rows.map(({ position, blocks }) => ({ position, blocks: [...blocks] })),
})

async function run(
  bench: KernelBench,
  { shape, rows, qkv, keys, values }: Scene,
  window: number | null,
  splits: number,
  tuning?: AttentionTuning,
  can: Capabilities = bench.gpu.can,
): Promise<Float32Array> {
  const params = await bench.upload('params', attentionParams(shape, window))
  const step = await bench.upload('step', stepWordsOf({ rows, splits }))
  const out = await bench.upload('out', new Float32Array(rows.length * shape.heads * shape.headDim).fill(-77))
  const partialWords = attentionPartialBytes(shape, rows.length, splits) / 4
  const partials = await bench.upload('partials', new Float32Array(partialWords).fill(Number.NaN))
  const lists = testRunsOf(rows)
  for (const of of RUN_KINDS) {
    if (lists[of].length === 0) continue
    const variant = { of, ...(of === 'runs' && tuning && { tuning }) }
    await bench.run(
      attentionKernel(can, shape, variant),
      { params, step, qkv, keys, values, out, partials },
      attentionGrid(can, shape, variant, lists[of].length, splits),
    )
  }
  if (splits > 1) {
    await bench.run(
      attentionMergeKernel(shape),
      { params, step, partials, out },
      attentionMergeGrid(shape, rows.length),
    )
  }
  return bench.floats(out)
}

function expected({ shape, rows, qkv, keys, values }: Scene, window: number | null): Float64Array {
  const { heads, kvHeads, headDim } = shape
  const width = (heads + 2 * kvHeads) * headDim
  const cache = { keys, values, blockSize: BLOCK_SIZE }
  const lines = rows.map(({ position, blocks }, row) => {
    const q = qkv.subarray(row * width, row * width + heads * headDim)
    return attentionReference(q, position, blocks, cache, { ...shape, window })
  })
  return Float64Array.from(lines.flatMap((line) => [...line]))
}

describe.each(TEAM_DEVICES)('attention $name', ({ it, subgroups }) => {
  it('matches the reference around blocks and splits, in one split and in several', async ({ bench }) => {
    const made = scene({ heads: 4, kvHeads: 2, headDim: 24 }, [1, 15, 16, 17, 257, 600])
    const whole = await run(bench, made, null, 1)
    expectNear(whole, expected(made, null), TOLERANCE)
    expect(await run(bench, made, null, made.splits)).toEqual(whole)
  })

  it('sees the window only, whatever its borders', async ({ bench }) => {
    const made = scene({ heads: 4, kvHeads: 2, headDim: 24 }, [1, 15, 16, 17, 33, 257, 270, 600])
    for (const window of [1, 16, 21, 300]) {
      const whole = await run(bench, made, window, 1)
      expectNear(whole, expected(made, window), TOLERANCE)
      expect(await run(bench, made, window, made.splits)).toEqual(whole)
    }
  })

  it('gives rows of one sequence, done together, the bits of single rows', async ({ bench }) => {
    // A whole run and a part of one, a run that begins and one that ends in the middle of a group or a split, and a
    // sequence of one row between them.
    const made = prefill({ heads: 4, kvHeads: 2, headDim: 24 }, [
      [13, 13],
      [40, 1],
      [262, 11],
      [530, 3],
    ])
    for (const window of [null, 5, 259]) {
      const single = await run(bench, alone(made), window, 1)
      expectNear(single, expected(made, window), TOLERANCE)
      for (const splits of [1, made.splits]) expect(await run(bench, made, window, splits)).toEqual(single)
    }
  })

  if (!subgroups) return

  it('gives the same bits for any number of rows, heads and groups that a team takes together', async ({ bench }) => {
    const made = prefill({ heads: 6, kvHeads: 2, headDim: 20 }, [
      [10, 10],
      [277, 24],
    ])
    for (const window of [null, 20]) {
      const single = await run(bench, alone(made), window, 1)
      for (const [rows, sums, groups, teams] of [
        [1, 2, 3, 1],
        [2, 6, 1, 4],
        [8, 16, 2, 2],
      ] as const) {
        expect(await run(bench, made, window, 1, { rows, sums, groups, teams })).toEqual(single)
      }
      // Subgroups might be larger than they are: there are teams to spare.
      const wide = { ...bench.gpu.can, subgroupMaxSize: 2 * bench.gpu.can.subgroupMaxSize }
      expect(await run(bench, made, window, 1, { rows: 2, sums: 6, groups: 1, teams: 2 }, wide)).toEqual(single)
    }
  })

  it('lets no token spoil the rows before it', async ({ bench }) => {
    const made = prefill({ heads: 4, kvHeads: 2, headDim: 24 }, [[30, 8]])
    const before = await run(bench, made, null, 1)
    const width = made.shape.kvHeads * made.shape.headDim
    const { position, blocks } = made.rows[5]!
    const slot = blocks[Math.floor(position / BLOCK_SIZE)]! * BLOCK_SIZE + (position % BLOCK_SIZE)
    for (const spoilt of [made.keys, made.values])
      spoilt.fill(Number.POSITIVE_INFINITY, slot * width, (slot + 1) * width)
    const after = await run(bench, made, null, 1)
    const outWidth = made.shape.heads * made.shape.headDim
    expect(after.slice(0, 5 * outWidth)).toEqual(before.slice(0, 5 * outWidth))
    expect(after.slice(5 * outWidth).every(Number.isFinite)).toBe(false)
  })

  for (const [heads, kvHeads, headDim] of [
    [9, 3, 64],
    [4, 4, 16],
    [7, 1, 96],
    [8, 2, 128],
  ] as const) {
    it(`matches the reference with ${heads} over ${kvHeads} heads of ${headDim}`, async ({ bench }) => {
      const made = scene({ heads, kvHeads, headDim }, [40, 3, 130])
      expectNear(await run(bench, made, null, 1), expected(made, null), TOLERANCE)
    })
  }
})

describe('attention', () => {
  itOnDevice('gives a row the same bits whatever rows share the step', async ({ bench }) => {
    const made = scene({ heads: 4, kvHeads: 2, headDim: 24 }, [40, 300, 7])
    const { heads, kvHeads, headDim } = made.shape
    const [width, outWidth] = [(heads + 2 * kvHeads) * headDim, heads * headDim]
    const together = await run(bench, made, null, 2)
    for (const [row, entry] of made.rows.entries()) {
      const alone = await run(
        bench,
        { ...made, rows: [entry], qkv: made.qkv.slice(row * width, (row + 1) * width) },
        null,
        1,
      )
      expect(alone).toEqual(together.slice(row * outWidth, (row + 1) * outWidth))
    }
  })

  itOnDevice('survives scores that are large in size', async ({ bench }) => {
    const made = scene({ heads: 4, kvHeads: 2, headDim: 24 }, [50])
    const large = { ...made, qkv: made.qkv.map((x) => x * 40) }
    expectNear(await run(bench, large, null, 1), expected(large, null), {
      absolute: 2e-3,
      because: 'scores of several hundred, whose last bits exp() makes visible',
    })
  })
})
