import { describe, expect } from 'vitest'
import { ropeKvGrid, ropeKvKernel, ropeKvParams } from '../../../src/model/kernels/ropeKv.ts'
import { type KernelBench, TEAM_DEVICES } from '../../support/gpu.ts'
import { expectNear } from '../../support/near.ts'
import { Random } from '../../support/random.ts'
import { ropeReference } from '../../support/reference/ropeKv.ts'
import { stepWordsOf } from '../../support/steps.ts'

const UNTOUCHED = -77
const BLOCK = 16
const NUM_BLOCKS = 6
const TOLERANCE = { relative: 3e-6, absolute: 3e-6, because: 'f32 products of numbers near one, norms to 2 ulp' }

/** Two sequences in scattered blocks, at positions on both sides of a block boundary. */
const ROWS = [
  { position: 14, blocks: [4, 1] },
  { position: 15, blocks: [4, 1] },
  { position: 16, blocks: [4, 1] },
  { position: 0, blocks: [5] },
  { position: 33, blocks: [0, 2, 3] },
]

async function check(
  bench: KernelBench,
  [heads, kvHeads, headDim]: readonly [number, number, number],
  {
    bias,
    qkNorm,
    rotaryDim = headDim,
  }: { readonly bias: boolean; readonly qkNorm: boolean; readonly rotaryDim?: number },
) {
  const random = new Random(headDim)
  const shape = { heads, kvHeads, headDim, rotaryDim, eps: 1e-6 }
  const width = (heads + 2 * kvHeads) * headDim
  const angles = random.floats(34 * (headDim / 2), 3)
  const rope = new Float32Array(
    [...angles].flatMap((angle, i) =>
      i % (headDim / 2) < rotaryDim / 2 ? [Math.cos(angle), Math.sin(angle)] : [1, 0],
    ),
  )
  const input = random.floats(ROWS.length * width)
  const biases = random.floats(width)
  const norms = { q: random.floats(headDim, 2), k: random.floats(headDim, 2) }
  const cache = () => new Float32Array(NUM_BLOCKS * BLOCK * kvHeads * headDim).fill(UNTOUCHED)
  const { qkv, keys, values } = await bench.run(
    ropeKvKernel(bench.gpu.can, { bias, qkNorm }),
    {
      params: ropeKvParams(shape, { bias: 16, qGain: 4 * (4 + width), kGain: 4 * (4 + width + headDim) }),
      step: stepWordsOf({ rows: ROWS }),
      qkv: input,
      vectors: Float32Array.from([0, 0, 0, 0, ...biases, ...norms.q, ...norms.k]),
      rope,
      keys: cache(),
      values: cache(),
    },
    ropeKvGrid(bench.gpu.can, shape, ROWS.length),
  )
  const actual = { qkv: await bench.floats(qkv!), k: await bench.floats(keys!), v: await bench.floats(values!) }
  const expected = { k: cache(), v: cache() }
  const kvWidth = kvHeads * headDim
  ROWS.forEach(({ position, blocks }, row) => {
    const line = input.subarray(row * width, (row + 1) * width)
    const { q, k, v } = ropeReference(line, position, shape, {
      bias: bias ? biases : null,
      norms: qkNorm ? norms : null,
      rope,
    })
    expectNear(actual.qkv.subarray(row * width, row * width + heads * headDim), q, TOLERANCE)
    const slot = blocks[Math.floor(position / BLOCK)]! * BLOCK + (position % BLOCK)
    expected.k.set(k, slot * kvWidth)
    expected.v.set(v, slot * kvWidth)
  })
  // Everything else in the caches is as it was.
  expectNear(actual.k, expected.k, TOLERANCE)
  expectNear(actual.v, expected.v, TOLERANCE)
  expect(actual.k.filter((value) => value === UNTOUCHED)).toHaveLength((NUM_BLOCKS * BLOCK - ROWS.length) * kvWidth)
}

describe.each(TEAM_DEVICES)('rope_kv $name', ({ it, subgroups }) => {
  const shapes: (readonly [number, number, number])[] = [
    [4, 2, 24],
    [9, 3, 64],
    [2, 1, 96],
    [7, 1, 128],
    [4, 4, 16],
  ]
  for (const shape of subgroups ? shapes : shapes.slice(0, 2)) {
    it(`turns and stores ${shape[0]} and ${shape[1]} heads of ${shape[2]}`, async ({ bench }) => {
      await check(bench, shape, { bias: false, qkNorm: false })
    })
  }

  it('adds the bias and norms each head of q and k first', async ({ bench }) => {
    await check(bench, [4, 2, 32], { bias: true, qkNorm: true })
  })

  it('leaves the last dimensions of a head as they are where only some are turned', async ({ bench }) => {
    await check(bench, [4, 2, 32], { bias: false, qkNorm: true, rotaryDim: 24 })
    await check(bench, [2, 1, 96], { bias: true, qkNorm: false, rotaryDim: 8 })
  })

  it('adds a bias without norms', async ({ bench }) => {
    await check(bench, [14, 2, 64], { bias: true, qkNorm: false })
  })
})
