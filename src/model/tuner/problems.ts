/**
 * What candidates are checked with and timed on. The numbers of a check are multiples of an eighth, so that no sum of theirs
 * is rounded, whatever its order: a kernel gives the very number that the CPU does, or a wrong one. (Attention, which has
 * exponentials in it, may differ by rounding.) Those of a load are rough, so that every sum is rounded: another order of
 * its terms gives other bits.
 */
import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid } from '../../gpu/kernel.ts'
import { type FloatDtype, fromFloat32 } from '../../weights/dtype.ts'
import { ENTRY_HEAD, ENTRY_WORDS } from '../adapterTable.ts'
import {
  type AttentionShape,
  attentionGrid,
  attentionKernel,
  attentionParams,
  attentionPartialBytes,
} from '../kernels/attention.ts'
import type { KernelChoice } from '../kernels/choice.ts'
import type { ActivationDtype } from '../kernels/includes.ts'
import { loraExpandGrid, loraExpandKernel, loraExpandParams } from '../kernels/loraExpand.ts'
import { loraShrinkGrid, loraShrinkKernel, loraShrinkParams } from '../kernels/loraShrink.ts'
import { matmulGrid, matmulKernel, matmulParams } from '../kernels/matmul.ts'
import type { KernelTuning, RowClass, RunKind } from '../kernels/tuning.ts'
import { BLOCK_SIZE } from '../kvCache.ts'
import { runsOf, StepTables } from '../stepTables.ts'

export interface Problem {
  /** What is dispatched, one after the other. */
  dispatches(tuning: KernelTuning): readonly ProblemDispatch[]
  /** By binding; `output` as it is before anything runs. */
  readonly buffers: Readonly<Record<string, Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>>>
  readonly output: string
  /** What `output` must hold then, and how far it may be off. */
  expected(): { readonly values: Float64Array; readonly tolerance: number }
}

export type Numbers = 'exact' | 'rough'

export interface ProblemDispatch {
  readonly choice: KernelChoice
  readonly grid: Grid
  /** Bindings whose buffer has another name. */
  readonly names?: Readonly<Record<string, string>>
}

/** Element types that kernels read. */
export interface Dtypes {
  /** Of the layers. */
  readonly weights: FloatDtype
  readonly activations: ActivationDtype
}

export function matmulProblem(
  can: Capabilities,
  dtypes: Dtypes,
  of: RowClass,
  shape: { readonly in: number; readonly out: number; readonly rows: number },
  numbers: Numbers,
): Problem {
  const { in: inputs, out, rows } = shape
  const next = eighths(rows)
  const [x, w] = [asWanted(numbers, next(rows * inputs)), asWanted(numbers, next(out * inputs))]
  return {
    dispatches: ({ matmul }) => [
      {
        choice: matmulKernel(can, dtypes.weights, matmul[of], dtypes.activations),
        grid: matmulGrid(can, matmul[of], out, rows),
      },
    ],
    buffers: {
      params: matmulParams({ in: inputs, out, outStart: 0, outStride: out, rows: 'all' }),
      step: stepOf(Array(rows).fill(1), 0),
      w: wordsOf(w, dtypes.weights),
      x: wordsOf(x, dtypes.activations),
      y: new Float32Array(rows * out).fill(Number.NaN),
    },
    output: 'y',
    expected: () => ({ values: multiply(x, w, inputs), tolerance: 0 }),
  }
}

/** Rows of each of the adapters: single ones, as sequences that decode have, and a tile of several. */
const TILES = [1, 1, 1, 1, 1, 3]
const ROWS = 8
const ONE_LAYER = { layer: 0, numLayers: 1, group: 0 }
const F16 = 1

export function shrinkProblem(
  can: Capabilities,
  activations: ActivationDtype,
  { in: inputs, rank }: { readonly in: number; readonly rank: number },
  numbers: Numbers,
): Problem {
  const next = eighths(rank)
  const x = asWanted(numbers, next(ROWS * inputs))
  const matrices = TILES.map(() => asWanted(numbers, next(rank * inputs)))
  const shape = { ...ONE_LAYER, columns: rank, rowCapacity: ROWS, splits: 1, in: inputs }
  return {
    dispatches: ({ shrink }) => [
      {
        choice: loraShrinkKernel(can, ['F16'], shrink, activations),
        grid: loraShrinkGrid(can, rank, TILES.length, 1, shrink),
      },
    ],
    buffers: {
      params: loraShrinkParams(shape),
      step: stepOf(TILES, TILES.length),
      table: tableOf((slot) => [(slot * rank * inputs) / 2, rank, F16, 0]),
      slab: wordsOf(joined(matrices), 'F16'),
      x: wordsOf(x, activations),
      down: new Float32Array(ROWS * rank).fill(Number.NaN),
    },
    output: 'down',
    expected: () => ({ values: eachTile(x, matrices, inputs), tolerance: 0 }),
  }
}

export function expandProblem(
  can: Capabilities,
  { out, rank }: { readonly out: number; readonly rank: number },
  numbers: Numbers,
): Problem {
  const next = eighths(out)
  const [down, y] = [asWanted(numbers, next(ROWS * rank)), next(ROWS * out)]
  const bs = TILES.map(() => next(out * rank))
  const scale = new Uint32Array(Float32Array.of(0.5).buffer)[0]!
  const shape = { ...ONE_LAYER, columns: rank, rowCapacity: ROWS, splits: 1, outs: [out] }
  return {
    dispatches: ({ expand }) => [
      { choice: loraExpandKernel(can, ['F16'], expand), grid: loraExpandGrid(can, [out], TILES.length, expand) },
    ],
    buffers: {
      params: loraExpandParams(shape),
      step: stepOf(TILES, TILES.length),
      table: tableOf((slot) => [0, rank, F16, 0, (slot * out * rank) / 2, rank, scale, 0]),
      slab: wordsOf(joined(bs), 'F16'),
      down,
      y,
    },
    output: 'y',
    expected: () => ({ values: eachTile(down, bs, rank).map((sum, i) => y[i]! + 0.5 * sum), tolerance: 0 }),
  }
}

/** Rows of one sequence, the last it has: together in runs, or each by itself. */
export function attentionProblem(
  can: Capabilities,
  of: RunKind,
  shape: AttentionShape,
  { rows, context }: { readonly rows: number; readonly context: number },
): Problem {
  const { heads, kvHeads, headDim } = shape
  const next = eighths(context)
  const slots = Math.ceil(context / BLOCK_SIZE) * BLOCK_SIZE
  const qkv = next(rows * (heads + 2 * kvHeads) * headDim)
  const [keys, values] = [next(slots * kvHeads * headDim), next(slots * kvHeads * headDim)]
  const spans = of === 'runs' ? [rows] : Array<number>(rows).fill(1)
  const count = runsOf(spans)[of].length
  return {
    dispatches: ({ attention }) => {
      const variant = { of, tuning: attention[of] }
      return [{ choice: attentionKernel(can, shape, variant), grid: attentionGrid(can, shape, variant, count, 1) }]
    },
    buffers: {
      params: attentionParams(shape, null),
      step: stepOf(spans, 0, context),
      qkv,
      keys,
      values,
      out: new Float32Array(rows * heads * headDim).fill(Number.NaN),
      partials: new Float32Array(attentionPartialBytes(shape, rows, 1) / 4),
    },
    output: 'out',
    expected: () => ({ values: attend(shape, { rows, context }, qkv, keys, values), tolerance: 1e-4 }),
  }
}

/** The last rows of one sequence see one position less each, going back. */
function attend(
  { heads, kvHeads, headDim }: AttentionShape,
  { rows, context }: { readonly rows: number; readonly context: number },
  qkv: Float32Array,
  keys: Float32Array,
  values: Float32Array,
): Float64Array {
  const out = new Float64Array(rows * heads * headDim)
  for (let row = 0; row < rows; row++) {
    for (let head = 0; head < heads; head++) {
      const q = (row * (heads + 2 * kvHeads) + head) * headDim
      const at = (position: number) => (position * kvHeads + Math.floor((head * kvHeads) / heads)) * headDim
      const weights = Array.from({ length: context - rows + row + 1 }, (_, position) => {
        let dot = 0
        for (let i = 0; i < headDim; i++) dot += qkv[q + i]! * keys[at(position) + i]!
        return Math.exp(dot / Math.sqrt(headDim))
      })
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      for (const [position, weight] of weights.entries()) {
        for (let i = 0; i < headDim; i++) {
          out[(row * heads + head) * headDim + i]! += (weight / total) * values[at(position) + i]!
        }
      }
    }
  }
  return out
}

/** Tables of a step whose tiles and runs have so many rows, the last `numTiles` of adapters 0, 1, …; all of one sequence. */
export function stepOf(tiles: readonly number[], numTiles: number, context = 1, splits = 1): Uint32Array<ArrayBuffer> {
  const rows = tiles.reduce((sum, count) => sum + count, 0)
  const blocks = Math.ceil(context / BLOCK_SIZE)
  const { runs, singles } = runsOf(tiles)
  const tables = new StepTables(64 + 6 * rows + 4 * numTiles + blocks)
  tables.begin({ rows, tiles: numTiles, logits: 0, splits, runs: runs.length, singles: singles.length })
  const blockTable = tables.addList(Array.from({ length: blocks }, (_, i) => i))
  for (let row = 0; row < rows; row++) {
    tables.addRow({ token: 0, position: Math.max(0, context - rows + row), blockTable, slot: null })
  }
  for (const run of [...runs, ...singles]) tables.addRun(run)
  let start = 0
  for (let tile = 0; tile < numTiles; tile++) {
    tables.addTile(tile, start, tiles[tile]!)
    start += tiles[tile]!
  }
  return tables.words
}

/** The adapters' table: head of the one entry that matters of each, and its first projection. */
function tableOf(entry: (slot: number) => readonly number[]): Uint32Array<ArrayBuffer> {
  const stride = 4 * ENTRY_WORDS
  const table = new Uint32Array(TILES.length * stride)
  TILES.forEach((_, slot) => {
    const words = entry(slot)
    table.set(words.slice(0, ENTRY_HEAD), slot * stride)
    table.set(words.slice(ENTRY_HEAD), slot * stride + ENTRY_HEAD)
  })
  return table
}

/** [rows, in] x [outs, in] transposed. */
function multiply(x: Float32Array, w: Float32Array, inputs: number): Float64Array {
  const [rows, outs] = [x.length / inputs, w.length / inputs]
  const y = new Float64Array(rows * outs)
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < outs; o++) {
      let sum = 0
      for (let k = 0; k < inputs; k++) sum += x[row * inputs + k]! * w[o * inputs + k]!
      y[row * outs + o] = sum
    }
  }
  return y
}

/** The rows of each tile times the matrix of its adapter. */
function eachTile(x: Float32Array, matrices: readonly Float32Array[], inputs: number): Float64Array {
  let start = 0
  const parts = TILES.map((rows, tile) => {
    const part = multiply(x.subarray(start * inputs, (start + rows) * inputs), matrices[tile]!, inputs)
    start += rows
    return [...part]
  })
  return Float64Array.from(parts.flat())
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function wordsOf(values: Float32Array, dtype: FloatDtype): Uint32Array<ArrayBuffer> {
  return new Uint32Array(fromFloat32(values, dtype).buffer)
}

/** A factor that fills the last bit of what it meets. */
const ROUGH = Math.fround(0.7310586)

function asWanted(numbers: Numbers, values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  return numbers === 'exact' ? values : values.map((value) => value * ROUGH)
}

/** Beyond it numbers repeat: making them must not keep a step waiting. A prime, so that no two rows are alike. */
const DIFFERENT = 65_521

/** Makes arrays of multiples of 1/8 from -1 to 1, the same ones for the same seed. */
export function eighths(seed: number): (count: number) => Float32Array<ArrayBuffer> {
  let state = (seed * 2654435761) >>> 0 || 1
  return (count) => {
    const made = new Float32Array(count)
    for (let i = 0; i < Math.min(count, DIFFERENT); i++) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      made[i] = (((state >>> 8) % 17) - 8) / 8
    }
    for (let at = DIFFERENT; at < count; at += DIFFERENT) made.copyWithin(at, 0, Math.min(DIFFERENT, count - at))
    return made
  }
}
