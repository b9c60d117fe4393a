/**
 * Host half of attention.wgsl and attention_merge.wgsl: causal attention of each row over its paged keys and values.
 * With one split a step dispatches attention alone; with several, attention writes partials and attention_merge
 * completes them. Both give the same bits, so the number of splits is a matter of keeping the device busy.
 */

import source from '../../../shaders/attention.wgsl' with { type: 'text' }
import mergeSource from '../../../shaders/attention_merge.wgsl' with { type: 'text' }
import state from '../../../shaders/attention_state.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import { type Fold, ONE_FOLD } from '../layerList.ts'
import { type KernelChoice, PLAIN_WORKGROUP, paramWords } from './choice.ts'
import { ACTIVATION_INCLUDES, type ActivationDtype, CACHE_INCLUDES, type CacheDtype, STEP_INCLUDE } from './includes.ts'
import { teamGrid, teamShape } from './team.ts'
import { defaultTuning, type KernelTuning } from './tuning.ts'

/** Positions of a split: fixed, so that sums do not depend on how many splits there are. */
export const ATTENTION_SPLIT = 256

const definition: KernelDefinition = {
  name: 'attention',
  source,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'qkv', access: 'read' }, //        [rows, (heads + 2 kvHeads) * headDim]
    { name: 'keys', access: 'read' }, //       [slots, kvHeads, headDim]
    { name: 'values', access: 'read' }, //     [slots, kvHeads, headDim]
    { name: 'out', access: 'write' }, //       [rows, heads * headDim], as activations are stored; written with one split
    { name: 'partials', access: 'write' }, //  see attentionPartialBytes()
  ],
}

const mergeDefinition: KernelDefinition = {
  name: 'attention_merge',
  source: mergeSource,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'partials', access: 'read' },
    { name: 'out', access: 'write' },
  ],
}

export interface AttentionShape {
  readonly heads: number
  /** Divides heads. */
  readonly kvHeads: number
  /** A multiple of 4. */
  readonly headDim: number
}

/** How the query heads of a key/value head fall to teams, as evenly as the sums of a lane allow. */
function teamWork(
  can: Capabilities,
  { heads, kvHeads, headDim }: AttentionShape,
  { sums }: KernelTuning['attention'],
): { teamHeads: number; teams: number; laneVectors: number } {
  const share = heads / kvHeads
  const laneVectors = Math.ceil(headDim / 4 / teamShape(can).leastLanes)
  const teams = Math.ceil(share / Math.max(1, Math.floor(sums / laneVectors)))
  return { teamHeads: Math.ceil(share / teams), teams, laneVectors }
}

export function attentionKernel(
  can: Capabilities,
  { heads, kvHeads, headDim }: AttentionShape,
  cache: CacheDtype = 'F32',
  tuning: KernelTuning['attention'] = defaultTuning(can).attention,
  activations: ActivationDtype = 'F32',
): KernelChoice {
  const team = teamShape(can)
  const { teamHeads, laneVectors } = teamWork(can, { heads, kvHeads, headDim }, tuning)
  return {
    definition,
    specialisation: {
      constants: {
        HEAD4: headDim / 4,
        SHARE: heads / kvHeads,
        HEADS: teamHeads,
        LANE4: laneVectors,
        SPLIT: ATTENTION_SPLIT,
        TEAM_SLOTS: teamHeads * (1 + 4 * laneVectors),
        ...team.constants,
      },
      includes: {
        step: STEP_INCLUDE,
        team: team.source,
        attention_state: state,
        ...CACHE_INCLUDES[cache],
        ...ACTIVATION_INCLUDES[activations],
      },
    },
  }
}

export function attentionMergeKernel(
  { heads, kvHeads, headDim }: AttentionShape,
  activations: ActivationDtype = 'F32',
): KernelChoice {
  return {
    definition: mergeDefinition,
    specialisation: {
      constants: { HEAD4: headDim / 4, SHARE: heads / kvHeads, SPLIT: ATTENTION_SPLIT },
      includes: { step: STEP_INCLUDE, attention_state: state, ...ACTIVATION_INCLUDES[activations] },
    },
  }
}

/**
 * Serves both kernels.
 * @param window how many of the last positions a row sees, itself included; null: all
 * @param fold which of the blocks that a block table names for the same positions
 */
export function attentionParams(
  { kvHeads, headDim }: AttentionShape,
  window: number | null,
  { fold, numFolds }: Fold = ONE_FOLD,
): Uint32Array<ArrayBuffer> {
  return paramWords(kvHeads, window ?? 0, { f32: 1 / Math.sqrt(headDim) }, headDim / 4, fold, numFolds)
}

/** @param splits as the step's tables count them */
export function attentionGrid(
  can: Capabilities,
  shape: AttentionShape,
  rows: number,
  splits: number,
  tuning: KernelTuning['attention'] = defaultTuning(can).attention,
): Grid {
  return [teamGrid(can, shape.kvHeads * teamWork(can, shape, tuning).teams), rows, splits]
}

/** For steps of several splits. */
export function attentionMergeGrid({ heads, headDim }: AttentionShape, rows: number): Grid {
  return [Math.ceil((heads * headDim) / 4 / PLAIN_WORKGROUP), rows]
}

/**
 * Bytes of `partials` for a step: per row, split and head, what attention_state.wgsl lays out. With one split they are
 * the sums of a row whose positions take several, all done by one team.
 */
export function attentionPartialBytes({ heads, headDim }: AttentionShape, rows: number, splits: number): number {
  return rows * splits * heads * (headDim / 4 + 1) * 16
}
