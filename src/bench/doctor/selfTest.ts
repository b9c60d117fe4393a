/**
 * Whether a device computes right: known numbers through the kernels that every step consists of, compared with the CPU.
 * Values are eighths, small enough that every sum is exact in f32 in whichever order it is made; so a result that is not
 * the same number is a wrong one. Only attention, which has exponentials in it, may differ by rounding.
 */
import type { Grid } from '../../gpu/kernel.ts'
import {
  attentionGrid,
  attentionKernel,
  attentionMergeGrid,
  attentionMergeKernel,
  attentionParams,
  attentionPartialBytes,
} from '../../model/kernels/attention.ts'
import type { KernelChoice } from '../../model/kernels/choice.ts'
import type { CacheDtype } from '../../model/kernels/includes.ts'
import { loraExpandGrid, loraExpandKernel, loraExpandParams } from '../../model/kernels/loraExpand.ts'
import { loraShrinkGrid, loraShrinkKernel, loraShrinkParams } from '../../model/kernels/loraShrink.ts'
import { matmulGrid, matmulKernel, matmulParams } from '../../model/kernels/matmul.ts'
import { defaultTuning, ROW_CLASSES, rowClass } from '../../model/kernels/tuning.ts'
import { BLOCK_SIZE } from '../../model/kvCache.ts'
import { readRecord, Sampler } from '../../model/sampler.ts'
import { StepTables } from '../../model/stepTables.ts'
import type { FloatDtype } from '../../weights/dtype.ts'
import { stepOf } from '../kernels/steps.ts'
import type { Workbench } from '../kernels/workbench.ts'
import { Random } from '../load/random.ts'
import { attendPlainly, multiplyPlainly, packed } from './plain.ts'

export interface SelfTest {
  readonly name: string
  readonly isRight: boolean
  /** The largest difference, or why there is no result. */
  readonly detail: string
}

/** Of attention, per unit of the largest value: a few roundings of f32 and the device's own exponentials. */
const ATTENTION_TOLERANCE = 1e-4

/** Of the values that go in. */
const LARGEST = 2

type Data = Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>

/** Never throws for what the device does wrong: that is the answer. */
export async function selfTests(bench: Workbench): Promise<SelfTest[]> {
  const tests: [string, () => Promise<Comparison>][] = [
    ['matmul, weights in F32', () => matmul(bench, 'F32')],
    ['matmul, weights in F16', () => matmul(bench, 'F16')],
    ['matmul, weights in BF16', () => matmul(bench, 'BF16')],
    ['attention, one piece', () => attention(bench, 'F32', 1)],
    ['attention, split and merged', () => attention(bench, 'F32', 2)],
    ['attention, rows of one prompt', () => attention(bench, 'F32', 1, 5)],
    ['attention, keys and values in F16', () => attention(bench, 'F16', 1)],
    ['LoRA of two ranks beside the base', () => lora(bench)],
    ['greedy sampling', () => sampling(bench)],
  ]
  const results: SelfTest[] = []
  for (const [name, run] of tests) {
    try {
      const { worst, allowed } = await run()
      const isRight = worst <= allowed
      results.push({ name, isRight, detail: worst === 0 ? 'exact' : `off by ${worst.toExponential(1)}` })
    } catch (error) {
      // A device that is gone answers nothing any more.
      if (bench.gpu.lost) throw error
      results.push({ name, isRight: false, detail: error instanceof Error ? error.message : String(error) })
    }
  }
  return results
}

interface Comparison {
  /** Infinity where a number is none. */
  readonly worst: number
  readonly allowed: number
}

function compare(found: ArrayLike<number>, expected: ArrayLike<number>, allowed = 0): Comparison {
  let worst = 0
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(found[i]! - expected[i]!)
    worst = Math.max(worst, Number.isNaN(difference) ? Infinity : difference)
  }
  return { worst, allowed }
}

/** Eighths up to LARGEST, of either sign. */
function eighths(random: Random, count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, () => (random.below(16 * LARGEST + 1) - 8 * LARGEST) / 8)
}

/** Dispatches kernels after each other over the same buffers, and returns what is in `output` then. */
async function run(
  bench: Workbench,
  kernels: readonly { readonly choice: KernelChoice; readonly names: readonly string[]; readonly grid: Grid }[],
  data: Readonly<Record<string, Data>>,
  output: string,
): Promise<Float32Array> {
  const { gpu } = bench
  const uploaded = await Promise.all(
    Object.entries(data).map(async ([name, content]) => [name, await bench.upload(content)] as const),
  )
  const buffers = Object.fromEntries(uploaded)
  const recorder = gpu.recorder()
  for (const { choice, names, grid } of kernels) {
    const kernel = await gpu.kernel(choice.definition, choice.specialisation)
    const bound = choice.definition.bindings.map(({ name }, i) => [name, buffers[names[i] ?? name]!])
    recorder.dispatch(kernel.bind(Object.fromEntries(bound)), grid)
  }
  recorder.submit()
  return new Float32Array((await gpu.readback(buffers[output]!)).buffer)
}

/** Over a matrix whose rows fill no team. */
async function matmul(bench: Workbench, dtype: FloatDtype): Promise<Comparison> {
  const { can } = bench.gpu
  const [inputs, out] = [260, 37]
  const all: Comparison[] = []
  const classes = ROW_CLASSES
  // Of one type each class of rows and several teams of rows; the others differ in how weights are read alone.
  for (const rows of dtype === 'F16' ? [...classes, 19] : [classes.at(-1)!]) {
    const random = new Random('matmul', rows)
    const [x, w] = [eighths(random, rows * inputs), eighths(random, out * inputs)]
    const tuning = defaultTuning(can).matmul[rowClass(rows)]
    const found = await run(
      bench,
      [{ choice: matmulKernel(can, dtype, tuning), names: [], grid: matmulGrid(can, tuning, out, rows) }],
      {
        params: matmulParams({ in: inputs, out, outStart: 0, outStride: out, rows: 'all' }),
        step: stepOf({ rows }).words,
        w: packed(w, dtype),
        x,
        y: new Float32Array(rows * out),
      },
      'y',
    )
    all.push(compare(found, multiplyPlainly(x, w, inputs)))
  }
  return { worst: Math.max(...all.map(({ worst }) => worst)), allowed: 0 }
}

/** The last rows of a sequence. */
async function attention(bench: Workbench, cache: CacheDtype, splits: number, rows = 1): Promise<Comparison> {
  const { can } = bench.gpu
  const shape = { heads: 6, kvHeads: 2, headDim: 32 }
  const context = 300
  const { words: step, cacheSlots, runs } = stepOf({ rows, context, kind: 'prefill', splits })
  const of = rows > 1 ? 'runs' : 'singles'
  const random = new Random('attention')
  const width = shape.kvHeads * shape.headDim
  const stride = (shape.heads + 2 * shape.kvHeads) * shape.headDim
  const qkv = eighths(random, rows * stride)
  const [keys, values] = [eighths(random, cacheSlots * width), eighths(random, cacheSlots * width)]
  const found = await run(
    bench,
    [
      {
        choice: attentionKernel(can, shape, { of, cache }),
        names: [],
        grid: attentionGrid(can, shape, { of }, runs[of], splits),
      },
      ...(splits > 1
        ? [{ choice: attentionMergeKernel(shape), names: [], grid: attentionMergeGrid(shape, rows) }]
        : []),
    ],
    {
      params: attentionParams(shape, null),
      step,
      qkv,
      keys: packed(keys, cache),
      values: packed(values, cache),
      out: new Float32Array(rows * shape.heads * shape.headDim),
      partials: new Float32Array(attentionPartialBytes(shape, rows, splits) / 4),
    },
    'out',
  )
  // stepOf() lays the blocks of a sequence backwards.
  const blocks = Array.from({ length: cacheSlots / BLOCK_SIZE }, (_, i) => i).reverse()
  const expected = Array.from({ length: rows }, (_, row) => {
    const q = qkv.subarray(row * stride, (row + 1) * stride)
    return [...attendPlainly({ q, keys, values, blocks, context: context - rows + 1 + row, ...shape })]
  })
  return compare(found, expected.flat(), ATTENTION_TOLERANCE * LARGEST)
}

/** Rows 0 and 1 of the base, then two of each of two adapters, on one projection. */
async function lora(bench: Workbench): Promise<Comparison> {
  const { can } = bench.gpu
  const [inputs, out, rows] = [64, 40, 6]
  const ranks = [8, 4]
  const random = new Random('lora')
  const x = eighths(random, rows * inputs)
  const y = eighths(random, rows * out)
  const parts = ranks.map((rank) => ({ rank, a: eighths(random, rank * inputs), b: eighths(random, out * rank) }))
  const slab: number[] = [0, 0, 0, 0]
  const table = new Uint32Array(ranks.length * 4 * 32)
  const scale = 0.5
  parts.forEach(({ rank, a, b }, slot) => {
    const append = (values: Float32Array<ArrayBuffer>): number =>
      slab.push(...packed(values, 'F16')) - values.length / 2
    const [atA, atB] = [append(a), append(b)]
    table.set([atA, rank, 1, 0, atB, rank, new Uint32Array(Float32Array.of(scale).buffer)[0]!, 0], slot * 4 * 32)
  })
  const columns = Math.max(...ranks)
  const place = { layer: 0, numLayers: 1, group: 0, columns, rowCapacity: rows, splits: 1 }
  const step = loraStep(rows)
  const found = await run(
    bench,
    [
      {
        choice: loraShrinkKernel(can, ['F16']),
        names: ['shrinkParams'],
        grid: loraShrinkGrid(can, columns, ranks.length, 1),
      },
      {
        choice: loraExpandKernel(can, ['F16']),
        names: ['expandParams'],
        grid: loraExpandGrid(can, [out], ranks.length),
      },
    ],
    {
      shrinkParams: loraShrinkParams({ ...place, in: inputs }),
      expandParams: loraExpandParams({ ...place, outs: [out] }),
      step,
      table,
      slab: Uint32Array.from(slab),
      x,
      y,
      down: new Float32Array(rows * columns),
    },
    'y',
  )
  const expected = Float64Array.from(y)
  for (const [slot, { rank, a, b }] of parts.entries()) {
    const own = 2 + 2 * slot
    const down = multiplyPlainly(x.subarray(own * inputs, (own + 2) * inputs), a, inputs)
    const up = multiplyPlainly(down, b, rank)
    up.forEach((value, i) => {
      expected[own * out + i]! += scale * value
    })
  }
  return compare(found, expected)
}

function loraStep(rows: number): Uint32Array<ArrayBuffer> {
  const tables = new StepTables(64)
  tables.begin({ rows, tiles: 2, logits: 0, splits: 1 })
  for (let row = 0; row < rows; row++) {
    tables.addRow({ token: 0, position: 0, blockTable: 0, slot: row < 2 ? null : (row >> 1) - 1 })
  }
  tables.addTile(0, 2, 2)
  tables.addTile(1, 4, 2)
  return tables.words
}

/** The token with the largest logit of each row; how many are another one. */
async function sampling(bench: Workbench): Promise<Comparison> {
  const { gpu } = bench
  const [rows, vocabSize] = [3, 1000]
  const likeliest = [0, 999, 517]
  const logits = eighths(new Random('logits'), rows * vocabSize)
  likeliest.forEach((token, row) => {
    logits[row * vocabSize + token] = 5
  })
  const tables = new StepTables(256)
  tables.begin({ rows, tiles: 0, logits: rows, splits: 1 })
  for (let row = 0; row < rows; row++) tables.addRow({ token: 0, position: 0, blockTable: 0, slot: null })
  const greedy = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, position: 0, adjustment: null }
  for (let row = 0; row < rows; row++) tables.addLogits({ row, score: null, topLogprobs: null, ...greedy })
  const sampler = await Sampler.create(gpu, {
    step: await bench.upload(tables.words),
    logits: await bench.upload(logits),
    registers: await bench.zeros(rows * 4),
    vocabSize,
    maxLogits: rows,
  })
  try {
    const recorder = gpu.recorder()
    sampler.record(recorder, rows, false)
    recorder.submit()
    const records = await gpu.readback(sampler.records)
    const wrong = likeliest.filter((token, row) => readRecord(records, row, null).token !== token)
    return { worst: wrong.length, allowed: 0 }
  } finally {
    sampler.close()
  }
}
