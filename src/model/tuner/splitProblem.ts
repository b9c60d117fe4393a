/** Attention over a long context: by one team for each row and head, or by one for each of their splits. */
import type { Capabilities } from '../../gpu/capabilities.ts'
import {
  ATTENTION_SPLIT,
  type AttentionShape,
  attentionGrid,
  attentionKernel,
  attentionMergeGrid,
  attentionMergeKernel,
  attentionPartialBytes,
} from '../kernels/attention.ts'
import type { SplitClass } from '../kernels/tuning.ts'
import { attentionProblem, type Problem, stepOf } from './problems.ts'

/** Single rows of one sequence, the last it has. */
export function splitProblem(
  can: Capabilities,
  of: SplitClass,
  shape: AttentionShape,
  { rows, context }: { readonly rows: number; readonly context: number },
): Problem {
  const whole = attentionProblem(can, 'singles', shape, { rows, context })
  const splits = Math.ceil(context / ATTENTION_SPLIT)
  return {
    ...whole,
    dispatches(tuning) {
      if (!tuning.splits[of]) return whole.dispatches(tuning)
      const variant = { of: 'singles', tuning: tuning.attention.singles } as const
      const names = { step: 'splitStep' }
      return [
        {
          choice: attentionKernel(can, shape, variant),
          grid: attentionGrid(can, shape, variant, rows, splits),
          names,
        },
        { choice: attentionMergeKernel(shape), grid: attentionMergeGrid(shape, rows), names },
      ]
    },
    buffers: {
      ...whole.buffers,
      splitStep: stepOf(Array<number>(rows).fill(1), 0, context, splits),
      partials: new Float32Array(attentionPartialBytes(shape, rows, splits) / 4),
    },
  }
}
