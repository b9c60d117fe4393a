/** Attention at lengths of context: rows of many sequences that decode, and rows of one that is being read. */
import {
  attentionGrid,
  attentionKernel,
  attentionMergeGrid,
  attentionMergeKernel,
  attentionParams,
  attentionPartialBytes,
  attentionSplits,
} from '../../model/kernels/attention.ts'
import { type KernelTuning, RUN_KINDS } from '../../model/kernels/tuning.ts'
import type { ModelSpec } from '../../model/spec.ts'
import { type KernelCase, turns } from './kernelCase.ts'
import { stepOf } from './steps.ts'
import { ramp } from './workbench.ts'

/** Sets of keys and values of a case: they leave every cache. */
const MOST_TURNS = 16

/** @returns null where a layer's keys do not fit `most` bytes. @param spread as in a KernelTuning */
export function attentionCase(
  spec: ModelSpec,
  kind: 'decode' | 'prefill',
  rows: number,
  context: number,
  most: number,
  spread: KernelTuning['splits'],
): KernelCase | null {
  const shape = { heads: spec.numHeads, kvHeads: spec.numKvHeads, headDim: spec.headDim }
  const splits = attentionSplits(rows, context, spread)
  const { words, cacheSlots, runs } = stepOf({ rows, context, kind, splits })
  const kinds = RUN_KINDS.filter((of) => runs[of] > 0)
  const width = shape.kvHeads * shape.headDim
  const cacheBytes = cacheSlots * width * 4
  if (cacheBytes > most) return null
  const queries = rows * shape.heads * shape.headDim
  // Positions that the rows see, all together; and those that somebody has to read.
  const seen = kind === 'decode' ? rows * context : rows * context - (rows * (rows - 1)) / 2
  const read = kind === 'decode' ? rows * context : context
  return {
    kernel: `attention ${kind}`,
    shape: `context ${context}${splits > 1 ? `, ${splits} splits` : ''}`,
    rows,
    macs: 2 * seen * shape.heads * shape.headDim,
    bytes: (2 * read * width + 2 * queries) * 4,
    async prepare(bench) {
      const { gpu } = bench
      const { can } = gpu
      const get = ({ definition, specialisation }: ReturnType<typeof attentionMergeKernel>) =>
        gpu.kernel(definition, specialisation)
      const attention = await Promise.all(kinds.map((of) => get(attentionKernel(can, shape, { of }))))
      const step = await bench.upload(words)
      const params = await bench.upload(attentionParams(shape, null))
      const qkv = await bench.upload(ramp(rows * (shape.heads + 2 * shape.kvHeads) * shape.headDim))
      const out = await bench.zeros(queries * 4)
      const partials = await bench.zeros(attentionPartialBytes(shape, rows, splits))
      const merge =
        splits > 1
          ? [
              {
                kernel: (await get(attentionMergeKernel(shape))).bind({ params, step, partials, out }),
                grid: attentionMergeGrid(shape, rows),
              },
            ]
          : []
      const count = Math.max(1, Math.min(MOST_TURNS, Math.floor(bench.numSlices(cacheBytes) / 2)))
      return turns(
        Array.from({ length: count }, (_, turn) => {
          const keys = bench.slice(cacheBytes, 2 * turn)
          const values = bench.slice(cacheBytes, 2 * turn + 1)
          const dispatches = kinds.map((of, i) => ({
            kernel: attention[i]!.bind({ params, step, qkv, keys, values, out, partials }),
            grid: attentionGrid(can, shape, { of }, runs[of], splits),
          }))
          return [...dispatches, ...merge]
        }),
      )
    },
  }
}
