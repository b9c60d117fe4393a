/**
 * Host half of attention.wgsl and attention_merge.wgsl: causal attention of each row over its paged keys and values.
 * Runs of rows and single rows are dispatched apart, each in a specialisation that fits them.
 * With one split a step dispatches attention alone; with several, attention writes partials and attention_merge
 * completes them. Both give the same bits, so the number of splits is a matter of keeping the device busy.
 */

import source from '../../../shaders/attention.wgsl' with { type: 'text' }
import mergeSource from '../../../shaders/attention_merge.wgsl' with { type: 'text' }
import state from '../../../shaders/attention_state.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import { type Fold, ONE_FOLD } from '../layerList.ts'
import { RUN_ROWS } from '../stepTables.ts'
import { type KernelChoice, PLAIN_WORKGROUP, paramWords } from './choice.ts'
import { ACTIVATION_INCLUDES, type ActivationDtype, CACHE_INCLUDES, type CacheDtype, STEP_INCLUDE } from './includes.ts'
import { teamGrid, teamShape } from './team.ts'
import { type AttentionTuning, defaultTuning, type KernelTuning, type RunKind, splitClass } from './tuning.ts'

/** Positions of a split: fixed, so that sums do not depend on how many splits there are. */
export const ATTENTION_SPLIT = 256

/** (row, split) pairs that attention may spread over teams in one step; steps with more let a team do all its splits. */
export const MAX_ROW_SPLITS = 1024

/**
 * Pieces of context that attention spreads over teams in a step of `rows` rows that sees at most `context` positions. The
 * sums are the same for any number.
 */
export function attentionSplits(rows: number, context: number, spread: KernelTuning['splits']): number {
  const splits = Math.ceil(context / ATTENTION_SPLIT)
  return spread[splitClass(rows)] && rows * splits <= MAX_ROW_SPLITS ? splits : 1
}

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

/** How the rows of a run and the query heads of a key/value head fall to teams, as evenly as the sums of a lane allow. */
function teamWork(
  can: Capabilities,
  { heads, kvHeads, headDim }: AttentionShape,
  { rows, sums }: AttentionTuning,
): { teamRows: number; teamHeads: number; teams: number; laneVectors: number } {
  const share = heads / kvHeads
  const laneVectors = Math.ceil(headDim / 4 / teamShape(can).leastLanes)
  let teamRows = rows
  while (teamRows > 1 && teamRows * laneVectors > sums) teamRows /= 2
  const teams = Math.ceil(share / Math.max(1, Math.floor(sums / (teamRows * laneVectors))))
  return { teamRows, teamHeads: Math.ceil(share / teams), teams, laneVectors }
}

/** One where teams have barriers: rows that see more would let others wait. */
const teamsOf = ({ subgroups }: Capabilities, { teams = 1 }: AttentionTuning): number => (subgroups ? teams : 1)

/** Word of the step's header that says where the list of runs is, and their most rows. */
const RUN_LISTS: Readonly<Record<RunKind, { readonly word: number; readonly rows: number }>> = {
  runs: { word: 10, rows: RUN_ROWS },
  singles: { word: 11, rows: 1 },
}

export interface AttentionVariant {
  /** Which rows of a step a dispatch does. */
  readonly of: RunKind
  /** Default: that of the device. */
  readonly tuning?: AttentionTuning
  /** Default F32. */
  readonly cache?: CacheDtype
  /** Default F32. */
  readonly activations?: ActivationDtype
}

export function attentionKernel(
  can: Capabilities,
  { heads, kvHeads, headDim }: AttentionShape,
  { of, tuning = defaultTuning(can).attention[of], cache = 'F32', activations = 'F32' }: AttentionVariant,
): KernelChoice {
  const team = teamShape(can, teamsOf(can, tuning))
  const { teamRows, teamHeads, laneVectors } = teamWork(can, { heads, kvHeads, headDim }, tuning)
  const list = RUN_LISTS[of]
  return {
    definition,
    specialisation: {
      constants: {
        HEAD4: headDim / 4,
        SHARE: heads / kvHeads,
        RUNS: list.word,
        PARTS: list.rows / teamRows,
        ROWS: teamRows,
        HEADS: teamHeads,
        GROUPS: tuning.groups,
        LANE4: laneVectors,
        SPLIT: ATTENTION_SPLIT,
        TEAM_SLOTS: teamRows * teamHeads * (1 + 4 * laneVectors),
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

/**
 * @param count of the step's runs, or single rows
 * @param splits as the step's tables count them
 */
export function attentionGrid(
  can: Capabilities,
  shape: AttentionShape,
  { of, tuning = defaultTuning(can).attention[of] }: AttentionVariant,
  count: number,
  splits: number,
): Grid {
  const { teamRows, teams } = teamWork(can, shape, tuning)
  const parts = count * (RUN_LISTS[of].rows / teamRows)
  return [shape.kvHeads * teams, teamGrid(can, parts, teamsOf(can, tuning)), splits]
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
