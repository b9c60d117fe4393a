/** Norms with gains that adapters bring: rows of the base as without them, to the bit. */
import { describe, expect } from 'vitest'
import type { OwnNorm } from '../../../src/lora/normal.ts'
import { gainPlace } from '../../../src/model/adapterTable.ts'
import { addNormGrid, addNormKernel, addNormParams } from '../../../src/model/kernels/addNorm.ts'
import { ropeKvGrid, ropeKvKernel, ropeKvParams } from '../../../src/model/kernels/ropeKv.ts'
import { adapterPages, PAGES_SPEC, vector } from '../../support/adapterPages.ts'
import { TEAM_DEVICES } from '../../support/gpu.ts'
import { expectNear } from '../../support/near.ts'
import { Random } from '../../support/random.ts'
import { rmsNormReference } from '../../support/reference/addNorm.ts'
import { ropeReference } from '../../support/reference/ropeKv.ts'
import { stepWordsOf } from '../../support/steps.ts'

const TOLERANCE = { relative: 3e-6, absolute: 1e-6, because: 'f32 sums in another order, and 1/sqrt to 2 ulp' }
const { hiddenSize: HIDDEN, headDim: HEAD } = PAGES_SPEC

describe.each(TEAM_DEVICES)('own gains $name', ({ it }) => {
  it('are what add_norm gives the rows of their adapter, in their layer', async ({ bench }) => {
    const random = new Random(3)
    const base = random.floats(HIDDEN, 2)
    const post = random.floats(HIDDEN, 2)
    const final = random.floats(HIDDEN, 2)
    const norms: OwnNorm[] = [
      { layer: 0, norm: 'input', gain: vector(random.floats(HIDDEN)) },
      { layer: 1, norm: 'post', gain: vector(post) },
      { layer: null, norm: 'final', gain: vector(final) },
    ]
    const { slab, table } = adapterPages([{ norms: [norms[0]!] }, { norms }])
    const slots = [null, 0, 1, 1]
    const x = random.floats(slots.length * HIDDEN)
    const run = async (ownGain: boolean, place: ReturnType<typeof gainPlace>, gather: boolean) => {
      const logits = [3, 1, 0]
      const { normed } = await bench.run(
        addNormKernel(bench.gpu.can, { add: false, bias: false, gather, ownGain }),
        {
          params: addNormParams({ hidden: HIDDEN, eps: 1e-5 }, place),
          step: stepWordsOf({ rows: slots.map((slot) => ({ slot })), logits }),
          gain: base,
          delta: base,
          bias: base,
          residual: x,
          normed: new Float32Array(slots.length * HIDDEN),
          ...(ownGain && { table, slab }),
        },
        addNormGrid(bench.gpu.can, gather ? logits.length : slots.length),
      )
      return await bench.floats(normed!)
    }
    const row = (all: Float32Array, i: number) => all.subarray(i * HIDDEN, (i + 1) * HIDDEN)
    const place = gainPlace(PAGES_SPEC, 1, 'post')
    const [plain, own] = [await run(false, place, false), await run(true, place, false)]
    expect(row(own, 0)).toEqual(row(plain, 0))
    // An adapter without a gain here is like the base.
    expect(row(own, 1)).toEqual(row(plain, 1))
    for (const i of [2, 3]) expectNear(row(own, i), rmsNormReference(row(x, i), post, 1e-5), TOLERANCE)

    const gathered = await run(true, gainPlace(PAGES_SPEC, 2, 'final'), true)
    expectNear(row(gathered, 0), rmsNormReference(row(x, 3), final, 1e-5), TOLERANCE)
    for (const [i, from] of [
      [1, 1],
      [2, 0],
    ] as const) {
      expectNear(row(gathered, i), rmsNormReference(row(x, from), base, 1e-5), TOLERANCE)
    }
  })

  it('are what rope_kv gives the heads of their rows, of q and of k', async ({ bench }) => {
    const random = new Random(4)
    const shape = { heads: 4, kvHeads: 2, headDim: HEAD, eps: 1e-6 }
    const width = 8 * HEAD
    const gains = { q: random.floats(HEAD, 2), k: random.floats(HEAD, 2) }
    const ownQ = random.floats(HEAD, 2)
    const ownK = random.floats(HEAD, 2)
    const { slab, table } = adapterPages([
      { norms: [{ layer: 1, norm: 'q', gain: vector(ownQ) }] },
      {
        norms: [
          { layer: 1, norm: 'q', gain: vector(ownK) },
          { layer: 1, norm: 'k', gain: vector(ownQ) },
        ],
      },
    ])
    const slots = [null, 0, 1]
    const rows = slots.map((slot, position) => ({ slot, position, blocks: [0] }))
    const input = random.floats(rows.length * width)
    const rope = new Float32Array(
      [...random.floats((3 * HEAD) / 2, 3)].flatMap((angle) => [Math.cos(angle), Math.sin(angle)]),
    )
    const place = gainPlace(PAGES_SPEC, 1, 'q')
    const run = async (ownGain: boolean) => {
      const { qkv, keys } = await bench.run(
        ropeKvKernel(bench.gpu.can, { bias: false, qkNorm: true, ownGain }),
        {
          params: ropeKvParams(shape, { bias: 0, qGain: 0, kGain: 4 * HEAD }, place),
          step: stepWordsOf({ rows }),
          qkv: input,
          vectors: Float32Array.from([...gains.q, ...gains.k]),
          rope,
          keys: new Float32Array(16 * 2 * HEAD),
          values: new Float32Array(16 * 2 * HEAD),
          ...(ownGain && { table, slab }),
        },
        ropeKvGrid(bench.gpu.can, shape, rows.length),
      )
      return { q: await bench.floats(qkv!), k: await bench.floats(keys!) }
    }
    const [plain, own] = [await run(false), await run(true)]
    const norms = [gains, { q: ownQ, k: gains.k }, { q: ownK, k: ownQ }]
    norms.forEach((each, row) => {
      const q = (all: Float32Array) => all.subarray(row * width, row * width + 4 * HEAD)
      const k = (all: Float32Array) => all.subarray(row * 2 * HEAD, (row + 1) * 2 * HEAD)
      const line = input.subarray(row * width, (row + 1) * width)
      const expected = ropeReference(line, row, shape, { bias: null, norms: each, rope })
      expectNear(q(own.q), expected.q, TOLERANCE)
      expectNear(k(own.k), expected.k, TOLERANCE)
      if (row === 0) expect([q(own.q), k(own.k)]).toEqual([q(plain.q), k(plain.k)])
    })
  })
})
