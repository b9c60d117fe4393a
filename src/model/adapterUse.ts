/**
 * What adapters do, as far as it decides what is compiled, bound and dispatched. The adapter pool says it of each adapter,
 * the runner of all in a step, the forward pass acts on it: a kind that no row of a step uses costs the step nothing.
 */
import type { FloatDtype } from '../weights/dtype.ts'
import { GROUPS, type Group } from './spec.ts'

export interface AdapterUse {
  /** Element types of A and B. */
  readonly dtypes: ReadonlySet<FloatDtype>
  readonly groups: Readonly<Record<Group, GroupUse>>
}

/** What adapters do to a group of projections, in any layer. */
export interface GroupUse {
  /** The largest stacked rank; 0 where there is no A and B. */
  readonly rankSum: number
  /** There are row scales (DoRA) or biases. */
  readonly scalesOrBiases: boolean
}

/** What several adapters do together. */
export function combineUses(uses: readonly AdapterUse[]): AdapterUse {
  const groups = GROUPS.map((group): [Group, GroupUse] => {
    const each = uses.map((use) => use.groups[group])
    const rankSum = Math.max(0, ...each.map((use) => use.rankSum))
    return [group, { rankSum, scalesOrBiases: each.some((use) => use.scalesOrBiases) }]
  })
  return {
    dtypes: new Set(uses.flatMap(({ dtypes }) => [...dtypes])),
    groups: Object.fromEntries(groups) as Record<Group, GroupUse>,
  }
}
