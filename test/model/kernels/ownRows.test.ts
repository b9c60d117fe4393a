/** What adapters do to the embedding and the output layer, against plain sums in f64. */
import { describe, expect } from 'vitest'
import type { NormalAdapter } from '../../../src/lora/normal.ts'
import { entryPlace } from '../../../src/model/adapterTable.ts'
import { embedDownGrid, embedDownKernel, embedDownParams } from '../../../src/model/kernels/embedDown.ts'
import { loraExpandGrid, loraExpandKernel, loraExpandParams } from '../../../src/model/kernels/loraExpand.ts'
import { ownEmbedGrid, ownEmbedKernel, ownEmbedParams } from '../../../src/model/kernels/ownEmbed.ts'
import { ownHeadGrid, ownHeadKernel, ownHeadParams } from '../../../src/model/kernels/ownHead.ts'
import type { FloatDtype } from '../../../src/weights/dtype.ts'
import { adapterPages, exact, PAGES_SPEC } from '../../support/adapterPages.ts'
import { it, TEAM_DEVICES } from '../../support/gpu.ts'
import { expectNear } from '../../support/near.ts'
import { Random } from '../../support/random.ts'
import { matmulReference } from '../../support/reference/matmul.ts'
import { stepWordsOf, tilesOf } from '../../support/steps.ts'

const { hiddenSize: HIDDEN, vocabSize: VOCAB } = PAGES_SPEC
const TOLERANCE = { relative: 3e-6, because: 'f32 sums in another order' }
const EMBEDDING = entryPlace(PAGES_SPEC, 0, 'embedding')
const HEAD = entryPlace(PAGES_SPEC, 0, 'head')

/** Own rows of some tokens, or of all. */
function rowsOf(random: Random, tokens: readonly number[] | null, dtype: FloatDtype) {
  const { tensor, values } = exact(random.floats((tokens?.length ?? VOCAB) * HIDDEN), dtype, HIDDEN)
  const of = (token: number) => {
    const at = tokens ? tokens.indexOf(token) : token
    return at < 0 ? null : values.subarray(at * HIDDEN, (at + 1) * HIDDEN)
  }
  return { change: { rows: { tokens, matrix: tensor } }, of }
}

describe('own_embed', () => {
  it('replaces the rows of the tokens that an adapter brings, of those only', async ({ bench }) => {
    const random = new Random(1)
    const some = rowsOf(random, [0, 7, 20, 51], 'F16')
    const all = rowsOf(random, null, 'BF16')
    const one = rowsOf(random, [30], 'F32')
    const changes = [some, null, all, one]
    const { slab, table } = adapterPages(changes.map((each) => each && { embedding: each.change }))
    const slots = [null, 0, 0, 0, 0, 0, 1, 2, 2, 3, 3]
    const tokens = [7, 0, 7, 51, 8, 50, 7, 51, 0, 30, 29]
    const rows = slots.map((slot, i) => ({ slot, token: tokens[i]! }))
    const before = random.floats(rows.length * HIDDEN)
    const { residual } = await bench.run(
      ownEmbedKernel(),
      {
        params: ownEmbedParams({ hidden: HIDDEN, ...EMBEDDING }),
        step: stepWordsOf({ rows }),
        table,
        slab,
        registers: Uint32Array.of(0),
        residual: before,
      },
      ownEmbedGrid(HIDDEN, tilesOf(rows).length),
    )
    const after = await bench.floats(residual!)
    rows.forEach(({ slot, token }, i) => {
      const own = slot === null ? null : (changes[slot]?.of(token) ?? null)
      const kept = before.subarray(i * HIDDEN, (i + 1) * HIDDEN)
      expect(after.subarray(i * HIDDEN, (i + 1) * HIDDEN), `row ${i}`).toEqual(own ?? kept)
    })
  })

  it('finds a token that only the device knows', async ({ bench }) => {
    const own = rowsOf(new Random(2), [9], 'F32')
    const { slab, table } = adapterPages([{ embedding: own.change }])
    const rows = [{ slot: 0, token: { register: 1 } }]
    const { residual } = await bench.run(
      ownEmbedKernel(),
      {
        params: ownEmbedParams({ hidden: HIDDEN, ...EMBEDDING }),
        step: stepWordsOf({ rows }),
        table,
        slab,
        registers: Uint32Array.of(3, 9),
        residual: new Float32Array(HIDDEN),
      },
      ownEmbedGrid(HIDDEN, 1),
    )
    expect(await bench.floats(residual!)).toEqual(own.of(9))
  })
})

describe('embed_down and lora_expand', () => {
  it('add to a row what LoRA on the embedding makes of its token', async ({ bench }) => {
    const random = new Random(5)
    const ranks: readonly (readonly [number, FloatDtype])[] = [
      [5, 'F16'],
      [16, 'F32'],
    ]
    const parts = ranks.map(([rank, dtype]) => ({
      a: exact(random.floats(rank * VOCAB), dtype, VOCAB),
      b: exact(random.floats(HIDDEN * rank), dtype, rank),
      rank,
      scale: 0.5,
    }))
    const adapters = parts.map(({ a, b, rank, scale }): Partial<NormalAdapter> => {
      return { embedding: { lora: { rank, scale, a: a.tensor, b: b.tensor } } }
    })
    const { slab, table } = adapterPages(adapters)
    const slots = [null, 0, 0, 1, 1, 1]
    const rows = slots.map((slot, i) => ({ slot, token: (i * 17) % VOCAB }))
    const tiles = tilesOf(rows).length
    const step = await bench.upload('step', stepWordsOf({ rows }))
    const before = random.floats(rows.length * HIDDEN)
    const y = await bench.upload('y', before)
    const down = await bench.upload('down', new Float32Array(rows.length * 24).fill(Number.NaN))
    const place = { columns: 24, rowCapacity: rows.length, splits: 1, ...EMBEDDING }
    const shared = { step, table, slab, down }
    await bench.run(
      embedDownKernel(),
      { params: embedDownParams(place), ...shared, registers: Uint32Array.of(0) },
      embedDownGrid(16, tiles),
    )
    await bench.run(
      loraExpandKernel(bench.gpu.can),
      { params: loraExpandParams({ ...place, outs: [HIDDEN] }), ...shared, y },
      loraExpandGrid(bench.gpu.can, [HIDDEN], tiles),
    )
    const after = await bench.floats(y)
    rows.forEach(({ slot, token }, i) => {
      const kept = before.subarray(i * HIDDEN, (i + 1) * HIDDEN)
      const mine = after.subarray(i * HIDDEN, (i + 1) * HIDDEN)
      if (slot === null) {
        expect(mine).toEqual(kept)
        return
      }
      const { a, b, rank, scale } = parts[slot]!
      const column = Float32Array.from({ length: rank }, (_, r) => a.values[r * VOCAB + token]!)
      const { y: up, magnitudes } = matmulReference(column, b.values, rank)
      const expected = kept.map((value, d) => value + scale * up[d]!)
      expectNear(mine, expected, { ...TOLERANCE, magnitudes: magnitudes.map((size, d) => size + Math.abs(kept[d]!)) })
    })
  })
})

describe.each(TEAM_DEVICES)('own_head $name', ({ it: itOnTeams }) => {
  itOnTeams('replaces the logits of the tokens that an adapter brings, of its rows only', async ({ bench }) => {
    const random = new Random(6)
    const changes = [
      rowsOf(random, [0, 7, 20, 21, 51], 'F16'),
      null,
      rowsOf(random, null, 'F32'),
      rowsOf(random, [30], 'BF16'),
    ]
    const { slab, table } = adapterPages(changes.map((each) => each && { head: each.change }))
    // Logits rows: base, then rows of one adapter after the other, the last of them alone.
    const slots = [null, 0, 0, 0, 0, 0, 2, 2, 3]
    const headTiles = tilesOf(slots.map((slot) => ({ slot })))
    const x = random.floats(slots.length * HIDDEN)
    const before = random.floats(slots.length * VOCAB)
    const { y } = await bench.run(
      ownHeadKernel(bench.gpu.can),
      {
        params: ownHeadParams({ in: HIDDEN, vocab: VOCAB, ...HEAD }),
        step: stepWordsOf({ rows: [{}], logits: slots.map(() => 0), headTiles }),
        table,
        slab,
        x,
        y: before,
      },
      ownHeadGrid(bench.gpu.can, VOCAB, headTiles.length),
    )
    const after = await bench.floats(y!)
    slots.forEach((slot, row) => {
      const inputs = x.subarray(row * HIDDEN, (row + 1) * HIDDEN)
      for (let token = 0; token < VOCAB; token++) {
        const at = row * VOCAB + token
        const own = slot === null ? null : (changes[slot]?.of(token) ?? null)
        if (!own) {
          expect(after[at]).toBe(before[at])
          continue
        }
        const { y: expected, magnitudes } = matmulReference(inputs, own, HIDDEN)
        expectNear(after.subarray(at, at + 1), expected, { ...TOLERANCE, magnitudes })
      }
    })
  })
})
