/**
 * What can be tuned for a model on a device: for each choice a few candidates, what they are checked with, and what they
 * are timed on. Candidates of one choice give the same bits; what would change the order of a sum is no candidate. So the
 * sampler is not among them, whose crews weigh tokens in an order of their own, nor are attention's splits.
 */
import type { Capabilities } from '../../gpu/capabilities.ts'
import { part } from '../../part.ts'
import { FLOAT_BYTES, type FloatDtype } from '../../weights/dtype.ts'
import type { ActivationDtype } from '../kernels/includes.ts'
import { type KernelTuning, ROW_CLASSES, type RowClass } from '../kernels/tuning.ts'
import { groupShape, type ModelSpec, projectionShape } from '../spec.ts'
import type { Dtypes, Problem } from './problems.ts'

export interface Candidate {
  /** Unique among those of a choice; what a store remembers. */
  readonly label: string
  /** `tuning` with this candidate chosen. */
  within(tuning: KernelTuning): KernelTuning
}

export interface Tunable {
  /** Unique; what a store remembers. */
  readonly name: string
  /** The label of what `tuning` has. */
  chosen(tuning: KernelTuning): string
  readonly candidates: readonly Candidate[]
  /** Small, and its numbers are known. */
  check(): Promise<Problem>
  /** Of the model's size. */
  load(): Promise<Problem>
}

/** Most sums that a team or an invocation keeps: beyond it registers spill on every device known. */
const MOST_SUMS = 64
/** A software device has sixteen vector registers. */
const MOST_SOFTWARE_SUMS = 32

/** Loaded when something is measured; most starts only read what is known. */
const problems = (): Promise<typeof import('./problems.ts')> => part(() => import('./problems.ts'))

/** A check: columns that fill no stride of lanes, outputs that fill no team. */
const CHECK = { in: 132, out: 45 }
/** Weights that a timing reads: more are not needed to see a difference. */
const LOAD_BYTES = 4 * 2 ** 20
const LOAD_RANK = 16
const LOAD_CONTEXT = 512

/** `activations` are f32 if nothing else is said. */
export function tunablesOf(
  can: Capabilities,
  spec: ModelSpec,
  weights: FloatDtype,
  activations: ActivationDtype = 'F32',
): readonly Tunable[] {
  // Without subgroups every candidate has barriers, which take a software device seconds to a minute to compile.
  if (can.software && !can.subgroups) return []
  return [
    ...ROW_CLASSES.map((rows) => matmulTunable(can, spec, { weights, activations }, rows)),
    ...loraTunables(can, spec, activations),
    attentionTunable(can, spec),
  ]
}

function matmulTunable(can: Capabilities, spec: ModelSpec, dtypes: Dtypes, rows: RowClass): Tunable {
  const most = can.software ? MOST_SOFTWARE_SUMS : MOST_SUMS
  const atOnce = rows === 8 ? [4, 8] : [rows]
  const shapes = atOnce.flatMap((each) => [2, 4, 8, 16].map((outputs) => ({ rows: each, outputs })))
  const { in: inputs, out } = groupShape(spec, 'mlp_in')
  const fitting = Math.max(64, Math.floor(LOAD_BYTES / (inputs * FLOAT_BYTES[dtypes.weights])))
  const label = (shape: { rows: number; outputs: number }) => `${shape.rows} rows x ${shape.outputs} outputs`
  return {
    name: `matmul, ${rows === 8 ? '8 or more rows' : `${rows} row${rows === 1 ? '' : 's'}`}`,
    chosen: ({ matmul }) => label(matmul[rows]),
    candidates: shapes
      .filter((shape) => shape.rows * shape.outputs <= most)
      .map((shape) => ({
        label: label(shape),
        within: (tuning) => ({ ...tuning, matmul: { ...tuning.matmul, [rows]: shape } }),
      })),
    check: async () => (await problems()).matmulProblem(can, dtypes, rows, { ...CHECK, rows: rows === 8 ? 11 : rows }),
    load: async () =>
      (await problems()).matmulProblem(can, dtypes, rows, { in: inputs, out: Math.min(out, fitting), rows }),
  }
}

function loraTunables(can: Capabilities, spec: ModelSpec, activations: ActivationDtype): readonly Tunable[] {
  const { in: inputs, out } = projectionShape(spec, 'up')
  const expands = [
    [1, 1],
    [1, 4],
    [2, 1],
    [2, 2],
    [2, 4],
    [4, 1],
    [4, 2],
  ] as const
  return [
    {
      name: 'shrink',
      chosen: ({ shrink }) => `${shrink.columns} columns`,
      candidates: [4, 8, 16].map((columns) => ({
        label: `${columns} columns`,
        within: (tuning) => ({ ...tuning, shrink: { columns } }),
      })),
      check: async () => (await problems()).shrinkProblem(can, activations, { in: CHECK.in, rank: 20 }),
      load: async () => (await problems()).shrinkProblem(can, activations, { in: inputs, rank: LOAD_RANK }),
    },
    {
      name: 'expand',
      chosen: ({ expand }) => `${expand.vectors} vectors, ${expand.turns} turns`,
      candidates: expands.map(([vectors, turns]) => ({
        label: `${vectors} vectors, ${turns} turns`,
        within: (tuning) => ({ ...tuning, expand: { vectors, turns } }),
      })),
      check: async () => (await problems()).expandProblem(can, { out: 212, rank: 20 }),
      load: async () => (await problems()).expandProblem(can, { out, rank: LOAD_RANK }),
    },
  ]
}

function attentionTunable(can: Capabilities, spec: ModelSpec): Tunable {
  const shape = { heads: spec.numHeads, kvHeads: spec.numKvHeads, headDim: spec.headDim }
  const small = { heads: spec.numHeads / spec.numKvHeads, kvHeads: 1, headDim: spec.headDim }
  return {
    name: 'attention',
    chosen: ({ attention }) => `${attention.sums} sums`,
    candidates: [4, 8, 16].map((sums) => ({
      label: `${sums} sums`,
      within: (tuning) => ({ ...tuning, attention: { sums } }),
    })),
    check: async () => (await problems()).attentionProblem(can, small, { rows: 2, context: 37 }),
    load: async () => (await problems()).attentionProblem(can, shape, { rows: 4, context: LOAD_CONTEXT }),
  }
}
