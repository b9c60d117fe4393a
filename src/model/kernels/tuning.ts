/**
 * What of the kernels is a matter of speed alone: how much of a result a team or an invocation takes together. No bit of
 * any result depends on it, so it may differ between devices and change while an engine runs (src/model/tuner/).
 */
import type { Capabilities } from '../../gpu/capabilities.ts'

/** Rows of a step, by the kernel that serves them: 8 stands for 5 to 31, 32 for all above. */
export type RowClass = 1 | 2 | 4 | 8 | 32
export const ROW_CLASSES: readonly RowClass[] = [1, 2, 4, 8, 32]

export interface MatmulTuning {
  /** Rows that a team takes together: how often a weight is used once it is read. A power of two. */
  readonly rows: number
  /** Outputs that it takes: how often an activation is. A power of two. */
  readonly outputs: number
  /** Teams of a workgroup: see teamShape. Default 1. */
  readonly teams?: number
  /** How many of them lie over rows and read the same weights; the others lie over outputs. A power of two. Default 1. */
  readonly rowTeams?: number
}

/** Rows of a step as attention takes them: of one sequence, one behind the other, or each by itself. */
export type RunKind = 'runs' | 'singles'
export const RUN_KINDS: readonly RunKind[] = ['runs', 'singles']

export interface AttentionTuning {
  /** Rows of a run that a team takes together: how often a key or value is used once it is read. A power of two. */
  readonly rows: number
  /** Vectors of four sums that a lane keeps in registers: how many heads of its rows a team takes follows. */
  readonly sums: number
  /** Groups of positions that are scored at once: how often a query is used once it is shown to the other lanes. */
  readonly groups: number
  /** Teams of a workgroup, which lie over neighbouring rows and read the same keys and values: see teamShape. Default 1. */
  readonly teams?: number
}

/** Rows of a step, by what attention does with long contexts of theirs: 64 stands for all above 16. */
export type SplitClass = 1 | 4 | 16 | 64
export const SPLIT_CLASSES: readonly SplitClass[] = [1, 4, 16, 64]

export interface KernelTuning {
  readonly matmul: Readonly<Record<RowClass, MatmulTuning>>
  readonly shrink: {
    /** Columns of a team; a power of two. */
    readonly columns: number
    readonly teams?: number
  }
  readonly expand: {
    /** Vectors of four outputs of an invocation, in each turn of its workgroup. */
    readonly vectors: number
    readonly turns: number
    readonly teams?: number
  }
  readonly attention: Readonly<Record<RunKind, AttentionTuning>>
  /** Whether each split of a row's context has teams of its own, and their sums are merged: few rows leave a device idle. */
  readonly splits: Readonly<Record<SplitClass, boolean>>
  readonly norm: {
    /** Vectors of a row that a lane has on their way at once. */
    readonly loads: number
  }
  readonly sample: {
    /** Tokens that a lane of a crew looks at together, which keeps as many loads on their way. */
    readonly loads: number
  }
}

/** The class for a step of `rows` rows. */
export function rowClass(rows: number): RowClass {
  if (rows >= 32) return 32
  return ROW_CLASSES.find((count) => count >= rows && count < 32) ?? 8
}

/** The same for attention's splits. */
export function splitClass(rows: number): SplitClass {
  return SPLIT_CLASSES.find((count) => count >= rows) ?? 64
}

/**
 * Before anything is measured. With eight rows a software device spills its sixteen vector registers: four are 1.4 times
 * as fast there, though weights are read twice (`lorikeet bench kernels`, matmul of 8 and 64 rows). It pays for every
 * workgroup that it starts, and has few cores to spread them over; a GPU wants them spread, and waits for loads.
 */
export function defaultTuning({ software }: Capabilities): KernelTuning {
  return {
    matmul: {
      1: { rows: 1, outputs: 8 },
      2: { rows: 2, outputs: 8 },
      4: { rows: 4, outputs: 8 },
      8: software ? { rows: 4, outputs: 8 } : { rows: 8, outputs: 4 },
      // With less registers than most: 16 rows x 16 outputs in a workgroup (docs/performance.md, Prefill).
      32: software ? { rows: 4, outputs: 8 } : { rows: 8, outputs: 4, teams: 8, rowTeams: 2 },
    },
    shrink: { columns: 8 },
    expand: { vectors: 2, turns: software ? 4 : 1 },
    attention: {
      singles: { rows: 1, sums: 8, groups: 1 },
      // Half of what single rows take (`lorikeet bench kernels`, attention prefill), though sums spill: loads cost more.
      runs: software ? { rows: 4, sums: 24, groups: 2 } : { rows: 4, sums: 8, groups: 2, teams: 4 },
    },
    splits: { 1: true, 4: true, 16: true, 64: !software },
    norm: { loads: software ? 1 : 4 },
    sample: { loads: 4 },
  }
}
