/** Halves between kernels: what is written is the f32 result rounded once, what is read is computed with in f32. */
import { describe, expect } from 'vitest'
import type { KernelDefinition } from '../../../src/gpu/kernel.ts'
import type { Tracked } from '../../../src/gpu/ledger.ts'
import { entryPlace } from '../../../src/model/adapterTable.ts'
import { addNormGrid, addNormKernel, addNormParams } from '../../../src/model/kernels/addNorm.ts'
import {
  attentionGrid,
  attentionKernel,
  attentionMergeGrid,
  attentionMergeKernel,
  attentionParams,
  attentionPartialBytes,
} from '../../../src/model/kernels/attention.ts'
import type { KernelChoice } from '../../../src/model/kernels/choice.ts'
import { ACTIVATION_INCLUDES, type ActivationDtype, CACHE_INCLUDES } from '../../../src/model/kernels/includes.ts'
import { loraShrinkGrid, loraShrinkKernel, loraShrinkParams } from '../../../src/model/kernels/loraShrink.ts'
import { matmulGrid, matmulKernel, matmulParams } from '../../../src/model/kernels/matmul.ts'
import { ownHeadGrid, ownHeadKernel, ownHeadParams } from '../../../src/model/kernels/ownHead.ts'
import { siluMulGrid, siluMulKernel, siluMulParams } from '../../../src/model/kernels/siluMul.ts'
import { defaultTuning, rowClass } from '../../../src/model/kernels/tuning.ts'
import { fromFloat32, toFloat32 } from '../../../src/weights/dtype.ts'
import { adapterPages, exact, PAGES_SPEC } from '../../support/adapterPages.ts'
import { encode } from '../../support/encode.ts'
import { it, type KernelBench } from '../../support/gpu.ts'
import { Random } from '../../support/random.ts'
import { LoraPages, randomAdapter } from '../../support/reference/lora.ts'
import { stepWordsOf, tilesOf } from '../../support/steps.ts'

/** To the type and back, and as a cache does it. */
const THROUGH: KernelDefinition = {
  name: 'through',
  source: `
//#include "activations"
//#include "cache"
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> stored: array<Activation4>;
@group(0) @binding(2) var<storage, read_write> cached: array<Cached4>;
@group(0) @binding(3) var<storage, read_write> back: array<vec4<f32>>;
@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= arrayLength(&x)) { return; }
  stored[id.x] = to_activation(x[id.x]);
  cached[id.x] = to_cache(x[id.x]);
  back[id.x] = from_activation(stored[id.x]) + 0.0 * from_cache(cached[id.x]);
}
`,
  bindings: [
    { name: 'x', access: 'read' },
    { name: 'stored', access: 'write' },
    { name: 'cached', access: 'write' },
    { name: 'back', access: 'write' },
  ],
}

/** Bits of `values` as halves, rounded to nearest by the CPU. */
function halvesOf(values: Float32Array): Uint16Array {
  return new Uint16Array(fromFloat32(values, 'F16').buffer)
}

async function wordsOf(bench: KernelBench, buffer: Tracked): Promise<Uint16Array> {
  return new Uint16Array((await bench.floats(buffer)).buffer)
}

const isNan = (half: number) => (half & 0x7fff) > 0x7c00

describe('halves', () => {
  it('are rounded to nearest, ties to even, on every device', async ({ bench }) => {
    const random = new Random(5)
    // Around every power of two that is a normal half; ties between halves, and what is just beside them.
    const ties = Array.from({ length: 1024 }, (_, i) => (1 + (2 * i + 1) / 2048) * 2 ** ((i % 30) - 14))
    const beside = ties.flatMap((tie) => [tie * (1 + 2 ** -20), -tie * (1 - 2 ** -20)])
    const plain = Array.from(random.floats(4096)).map((value, i) => value * 2 ** ((i % 24) - 8))
    const x = Float32Array.from([0, -0, 65504, -65504, 65519.99, 2 ** -14, ...ties, ...beside, ...plain])
    const even = x.subarray(0, x.length - (x.length % 4)).slice()
    // What lies below 2^-14 may be flushed.
    const normal = even.map((value) => (Math.abs(value) < 2 ** -14 ? 0 : value))
    const out = await through(bench, normal)
    expect(out.stored).toEqual(halvesOf(normal))
    expect(out.cached).toEqual(halvesOf(normal))
    expect(out.back).toEqual(toFloat32(fromFloat32(normal, 'F16'), 'F16'))
  })

  it('keep small numbers to within a step of theirs, or flush them', async ({ bench }) => {
    const x = Float32Array.from({ length: 64 }, (_, i) => 2 ** (-14 - i / 4) * (i % 2 ? -1 : 1))
    const { back } = await through(bench, x)
    for (const [i, value] of back.entries()) {
      expect(value === 0 || Math.abs(value - x[i]!) <= 2 ** -24, `${x[i]} became ${value}`).toBe(true)
    }
  })

  it('that cannot be are NaN, never another number', async ({ bench }) => {
    const bits = [0x477ff000, 0xc77ff000, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0x7fffffff, 0xffffffff]
    for (const [i, word] of bits.entries()) {
      const x = new Float32Array(4)
      new Uint32Array(x.buffer)[i % 4] = word
      const { stored, cached } = await through(bench, x)
      expect(isNan(stored[i % 4]!), word.toString(16)).toBe(true)
      expect(isNan(cached[i % 4]!), word.toString(16)).toBe(true)
    }
  })

  async function through(bench: KernelBench, x: Float32Array<ArrayBuffer>) {
    const choice = {
      definition: THROUGH,
      specialisation: { includes: { ...ACTIVATION_INCLUDES.F16, ...CACHE_INCLUDES.F16 } },
    }
    const empty = () => new Uint32Array(x.length / 2)
    // As words: a Float32Array on its way may lose what makes one NaN differ from another.
    const words = new Uint32Array(x.buffer)
    const grid = [Math.ceil(x.length / 128)] as const
    const out = await bench.run(choice, { x: words, stored: empty(), cached: empty(), back: new Float32Array(x) }, grid)
    return {
      stored: await wordsOf(bench, out.stored!),
      cached: await wordsOf(bench, out.cached!),
      back: await bench.floats(out.back!),
    }
  }
})

/** Runs a kernel over x in halves and over the same numbers in f32: the bits must be equal. */
async function readsAlike(
  bench: KernelBench,
  x: Float32Array,
  output: string,
  choose: (dtype: ActivationDtype) => KernelChoice,
  rest: Parameters<KernelBench['run']>[1],
  grid: Parameters<KernelBench['run']>[2],
): Promise<void> {
  const { words, values } = encode(x, 'F16')
  const halves = await bench.run(choose('F16'), { ...rest, x: words }, grid)
  const floats = await bench.run(choose('F32'), { ...rest, x: Float32Array.from(values) }, grid)
  const [actual, expected] = [await bench.floats(halves[output]!), await bench.floats(floats[output]!)]
  expect(actual.some((value) => value !== 0)).toBe(true)
  expect(actual).toEqual(expected)
}

describe('what reads halves computes in f32', () => {
  const random = new Random(11)

  for (const rows of [1, 3, 11]) {
    it(`matmul: ${rows} rows`, async ({ bench }) => {
      const [inputs, out] = [132, 45]
      const tuning = defaultTuning(bench.gpu.can).matmul[rowClass(rows)]
      const rest = {
        params: matmulParams({ in: inputs, out, outStart: 0, outStride: out, rows: 'all' }),
        step: stepWordsOf({ rows: Array.from({ length: rows }, () => ({})) }),
        w: encode(random.floats(out * inputs), 'BF16').words,
        y: new Float32Array(rows * out),
      }
      const choose = (dtype: ActivationDtype) => matmulKernel(bench.gpu.can, 'BF16', tuning, dtype)
      const grid = matmulGrid(bench.gpu.can, tuning, out, rows)
      await readsAlike(bench, random.floats(rows * inputs), 'y', choose, rest, grid)
    })
  }

  it('lora_shrink', async ({ bench }) => {
    const place = { layer: 0, numLayers: 1, group: 0 }
    const [inputs, columns] = [100, 48]
    const pages = new LoraPages()
    for (const [slot, rank] of [8, 5].entries()) {
      pages.add(randomAdapter(random, 'F16', inputs, [8], [rank]), { ...place, slot })
    }
    const rows = [null, 0, 1, 1, 1, 1, 1].map((slot) => ({ slot }))
    const shape = { ...place, columns, rowCapacity: rows.length, splits: 1, in: inputs }
    const { can } = bench.gpu
    const rest = {
      params: loraShrinkParams(shape),
      step: stepWordsOf({ rows }),
      table: pages.table(2, 1),
      slab: pages.slab,
      down: new Float32Array(rows.length * columns),
    }
    const choose = (dtype: ActivationDtype) => loraShrinkKernel(can, ['F16'], defaultTuning(can).shrink, dtype)
    const grid = loraShrinkGrid(can, columns, tilesOf(rows).length, 1)
    await readsAlike(bench, random.floats(rows.length * inputs), 'down', choose, rest, grid)
  })

  it('own_head', async ({ bench }) => {
    const { hiddenSize: hidden, vocabSize: vocab } = PAGES_SPEC
    const { tensor } = exact(random.floats(3 * hidden), 'F16', hidden)
    const { slab, table } = adapterPages([{ head: { rows: { tokens: [0, 7, 20], matrix: tensor } } }])
    const slots = [null, 0, 0, 0, 0, 0]
    const headTiles = tilesOf(slots.map((slot) => ({ slot })))
    const rest = {
      params: ownHeadParams({ in: hidden, vocab, ...entryPlace(PAGES_SPEC, 0, 'head') }),
      step: stepWordsOf({ rows: [{}], logits: slots.map(() => 0), headTiles }),
      table,
      slab,
      y: new Float32Array(slots.length * vocab),
    }
    const choose = (dtype: ActivationDtype) => ownHeadKernel(bench.gpu.can, dtype)
    const grid = ownHeadGrid(bench.gpu.can, 3, headTiles.length)
    await readsAlike(bench, random.floats(slots.length * hidden), 'y', choose, rest, grid)
  })
})

describe('what writes halves rounds its f32 result, once', () => {
  const random = new Random(12)

  /** `count` numbers that a kernel wrote in each type. */
  function expectRounded(halves: Uint16Array, floats: Float32Array): void {
    expect(halves).toHaveLength(floats.length)
    expect(floats.every((value) => Math.abs(value) > 2 ** -14)).toBe(true) // nothing that may be flushed
    expect(halves).toEqual(halvesOf(floats))
  }

  it('add_norm', async ({ bench }) => {
    const [rows, hidden] = [3, 132]
    const data = {
      params: addNormParams({ hidden, eps: 1e-5 }),
      step: stepWordsOf({ rows: Array.from({ length: rows }, () => ({})) }),
      gain: awayFromZero(random.floats(hidden)),
      delta: random.floats(rows * hidden),
      bias: random.floats(hidden),
      residual: awayFromZero(random.floats(rows * hidden)),
    }
    const run = async (activations: ActivationDtype) => {
      const normed = new Float32Array((rows * hidden) / (activations === 'F16' ? 2 : 1))
      const choice = addNormKernel(bench.gpu.can, { add: false, bias: false, gather: false, activations })
      return (await bench.run(choice, { ...data, normed }, addNormGrid(bench.gpu.can, rows))).normed!
    }
    expectRounded(await wordsOf(bench, await run('F16')), await bench.floats(await run('F32')))
  })

  it('silu_mul', async ({ bench }) => {
    const [rows, inter] = [3, 176]
    const gateUp = awayFromZero(random.floats(rows * 2 * inter, 6))
    const run = async (activations: ActivationDtype) => {
      const act = new Float32Array((rows * inter) / (activations === 'F16' ? 2 : 1))
      const choice = siluMulKernel({ bias: false, activations })
      const data = { params: siluMulParams(inter), gateUp, bias: gateUp.slice(), act }
      return (await bench.run(choice, data, siluMulGrid(inter, rows))).act!
    }
    expectRounded(await wordsOf(bench, await run('F16')), await bench.floats(await run('F32')))
  })

  for (const splits of [1, 3]) {
    it(`attention over three splits of context, ${splits === 1 ? 'by one team' : 'by a team each'}`, async ({
      bench,
    }) => {
      const shape = { heads: 4, kvHeads: 2, headDim: 24 }
      const width = shape.kvHeads * shape.headDim
      const contexts = [1, 300, 600]
      const blocks = Array.from({ length: 38 }, (_, i) => i)
      const keys = random.floats(38 * 16 * width, 2)
      const values = random.floats(38 * 16 * width).map((value) => value + 2)
      const qkv = random.floats(contexts.length * (shape.heads + 2 * shape.kvHeads) * shape.headDim, 2)
      const rows = contexts.map((context) => ({ position: context - 1, blocks }))
      const outputs = contexts.length * shape.heads * shape.headDim
      const { can } = bench.gpu
      const run = async (activations: ActivationDtype) => {
        const params = await bench.upload('params', attentionParams(shape, null))
        const step = await bench.upload('step', stepWordsOf({ rows, splits }))
        const out = await bench.upload('out', new Float32Array(outputs / (activations === 'F16' ? 2 : 1)))
        const sums = new Float32Array(attentionPartialBytes(shape, rows.length, splits) / 4).fill(Number.NaN)
        const { partials } = await bench.run(
          attentionKernel(can, shape, { of: 'singles', activations }),
          { params, step, qkv, keys, values, out, partials: sums },
          attentionGrid(can, shape, { of: 'singles' }, rows.length, splits),
        )
        if (splits > 1) {
          const merge = attentionMergeKernel(shape, activations)
          await bench.run(merge, { params, step, partials: partials!, out }, attentionMergeGrid(shape, rows.length))
        }
        return out
      }
      expectRounded(await wordsOf(bench, await run('F16')), await bench.floats(await run('F32')))
    })
  }
})

/** So that no product of two is too small for a normal half. */
function awayFromZero(values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  return values.map((value) => value + Math.sign(value || 1) * 0.05)
}
