/**
 * What can be tuned for a model on a device: for each choice a few candidates, those first of which most may be expected, what
 * they are checked with, and what they are timed on. Candidates of one choice give the same bits; what would change the order
 * of a sum is no candidate. So the size of the sampler's crews is not among them, nor that of a norm's team.
 */
import type { Capabilities } from '../../gpu/capabilities.ts'
import { part } from '../../part.ts'
import { FLOAT_BYTES, type FloatDtype } from '../../weights/dtype.ts'
import type { ActivationDtype } from '../kernels/includes.ts'
import { teamShape } from '../kernels/team.ts'
import type { AttentionTuning, KernelTuning, MatmulTuning, RowClass, RunKind, SplitClass } from '../kernels/tuning.ts'
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
/** Of a workgroup, on every device. */
const MOST_INVOCATIONS = 256

/** Loaded when something is measured; most starts only read what is known. */
const problems = (): Promise<typeof import('./problems.ts')> => part(() => import('./problems.ts'))
const splitProblems = (): Promise<typeof import('./splitProblem.ts')> => part(() => import('./splitProblem.ts'))
const rowProblems = (): Promise<typeof import('./rowProblems.ts')> => part(() => import('./rowProblems.ts'))

/** A check: columns that fill no stride of lanes, outputs that fill no team. */
const CHECK = { in: 132, out: 45 }
/** Weights that a timing reads: more are not needed to see a difference. */
const LOAD_BYTES = 4 * 2 ** 20
const LOAD_RANK = 16
const LOAD_CONTEXT = 512
/** Of several splits. */
const CHECK_SPLIT_CONTEXT = 300
const LOAD_SPLIT_CONTEXT = 1024

/** What a step spends most time in comes first. `activations` are f32 if nothing else is said. */
export function tunablesOf(
  can: Capabilities,
  spec: ModelSpec,
  weights: FloatDtype,
  activations: ActivationDtype = 'F32',
): readonly Tunable[] {
  // Without subgroups every candidate has barriers, which take a software device seconds to a minute to compile.
  if (can.software && !can.subgroups) return []
  const matmul = (rows: RowClass) => matmulTunable(can, spec, { weights, activations }, rows)
  return [
    matmul(1),
    ...(can.software ? [] : [matmul(32)]), // which has the same for 8
    matmul(8),
    attentionTunable(can, spec, 'runs'),
    attentionTunable(can, spec, 'singles'),
    splitTunable(can, spec, 1),
    ...loraTunables(can, spec, activations),
    ...rowTunables(can, spec),
    matmul(4),
    matmul(2),
    ...([4, 16, 64] as const).map((rows) => splitTunable(can, spec, rows)),
  ]
}

/** A choice among values: one of the tuning's own, which `label` names. */
function choice<Value>(
  name: string,
  values: readonly Value[],
  label: (value: Value) => string,
  of: { read(tuning: KernelTuning): Value; with(tuning: KernelTuning, value: Value): KernelTuning },
): Pick<Tunable, 'name' | 'chosen' | 'candidates'> {
  return {
    name,
    chosen: (tuning) => label(of.read(tuning)),
    candidates: values.map((value) => ({ label: label(value), within: (tuning) => of.with(tuning, value) })),
  }
}

/** More teams in a workgroup than one: where GPUs start few workgroups at once, or slowly. Software devices gain nothing. */
function moreTeams(can: Capabilities): readonly number[] {
  const { WORKGROUP } = teamShape(can).constants
  return can.subgroups && !can.software && 4 * WORKGROUP <= MOST_INVOCATIONS ? [4] : []
}

const inTeams = (teams = 1): string => (teams > 1 ? `, ${teams} teams` : '')

/** For many rows: [rows, outputs, teams, teams over rows]. Workgroups of several teams share what they read. */
// biome-ignore format: a table
const TILES = [[8, 8, 8, 2], [8, 16, 8, 2], [4, 16, 8, 4], [8, 4, 8, 2], [8, 8, 4, 2], [8, 4, 1, 1]] as const

function matmulTunings(can: Capabilities, rows: RowClass): readonly MatmulTuning[] {
  if (rows === 32) return TILES.map(([each, outputs, teams, rowTeams]) => ({ rows: each, outputs, teams, rowTeams }))
  const most = can.software ? MOST_SOFTWARE_SUMS : MOST_SUMS
  const atOnce = rows === 8 ? [8, 4] : [rows]
  const tunings: readonly MatmulTuning[] = [
    ...[4, 8].flatMap((outputs) => moreTeams(can).map((teams) => ({ rows: atOnce[0]!, outputs, teams }))),
    ...[4, 8, 2, 16].flatMap((outputs) => atOnce.map((each) => ({ rows: each, outputs }))),
  ]
  return tunings.filter((each) => each.rows * each.outputs <= most)
}

function matmulTunable(can: Capabilities, spec: ModelSpec, dtypes: Dtypes, rows: RowClass): Tunable {
  const { in: inputs, out } = groupShape(spec, 'mlp_in')
  const fitting = Math.max(64, Math.floor(LOAD_BYTES / (inputs * FLOAT_BYTES[dtypes.weights])))
  const small = { ...CHECK, rows: { 1: 1, 2: 2, 4: 4, 8: 11, 32: 37 }[rows] }
  const large = { in: inputs, out: Math.min(out, fitting), rows: rows === 32 ? 64 : rows }
  const of = { 1: '1 row', 2: '2 rows', 4: '4 rows', 8: '8 rows', 32: '32 or more rows' }[rows]
  return {
    ...choice(
      `matmul, ${of}`,
      matmulTunings(can, rows),
      (each) => {
        const beside = (each.rowTeams ?? 1) > 1 ? `, ${each.rowTeams} over rows` : ''
        return `${each.rows} rows x ${each.outputs} outputs${inTeams(each.teams)}${beside}`
      },
      {
        read: ({ matmul }) => matmul[rows],
        with: (tuning, value) => ({ ...tuning, matmul: { ...tuning.matmul, [rows]: value } }),
      },
    ),
    check: async () => (await problems()).matmulProblem(can, dtypes, rows, small, 'exact'),
    load: async () => (await problems()).matmulProblem(can, dtypes, rows, large, 'rough'),
  }
}

function loraTunables(can: Capabilities, spec: ModelSpec, activations: ActivationDtype): readonly Tunable[] {
  const { in: inputs, out } = projectionShape(spec, 'up')
  const more = moreTeams(can)
  const shrinks: readonly KernelTuning['shrink'][] = [
    { columns: 4 },
    ...more.map((teams) => ({ columns: 4, teams })),
    { columns: 16 },
    ...more.map((teams) => ({ columns: 8, teams })),
    { columns: 8 },
  ]
  const expands: readonly KernelTuning['expand'][] = [
    { vectors: 1, turns: 1 },
    ...more.map((teams) => ({ vectors: 1, turns: 1, teams })),
    { vectors: 4, turns: 1 },
    { vectors: 2, turns: 1 },
    ...more.map((teams) => ({ vectors: 2, turns: 1, teams })),
    { vectors: 2, turns: 4 },
    { vectors: 2, turns: 2 },
    { vectors: 1, turns: 4 },
    { vectors: 4, turns: 2 },
  ]
  return [
    {
      ...choice('shrink', shrinks, ({ columns, teams }) => `${columns} columns${inTeams(teams)}`, {
        read: ({ shrink }) => shrink,
        with: (tuning, shrink) => ({ ...tuning, shrink }),
      }),
      check: async () => (await problems()).shrinkProblem(can, activations, { in: CHECK.in, rank: 20 }, 'exact'),
      load: async () => (await problems()).shrinkProblem(can, activations, { in: inputs, rank: LOAD_RANK }, 'rough'),
    },
    {
      ...choice(
        'expand',
        expands,
        ({ vectors, turns, teams }) => `${vectors} vectors, ${turns} turns${inTeams(teams)}`,
        { read: ({ expand }) => expand, with: (tuning, expand) => ({ ...tuning, expand }) },
      ),
      check: async () => (await problems()).expandProblem(can, { out: 212, rank: 20 }, 'exact'),
      load: async () => (await problems()).expandProblem(can, { out, rank: LOAD_RANK }, 'rough'),
    },
  ]
}

/** What goes through one row, and has nothing to do meanwhile but to wait for memory. */
function rowTunables(can: Capabilities, spec: ModelSpec): readonly Tunable[] {
  const label = ({ loads }: { readonly loads: number }): string => `${loads} load${loads === 1 ? '' : 's'} at once`
  const values = (can.software ? [2, 4, 1] : [8, 2, 4, 16]).map((loads) => ({ loads }))
  return [
    {
      ...choice('norm', values, label, {
        read: ({ norm }) => norm,
        with: (tuning, norm) => ({ ...tuning, norm }),
      }),
      check: async () => (await rowProblems()).normProblem(can, { hidden: CHECK.in, rows: 3 }),
      load: async () => (await rowProblems()).normProblem(can, { hidden: spec.hiddenSize, rows: 1 }),
    },
    {
      ...choice('sampler', values, label, {
        read: ({ sample }) => sample,
        with: (tuning, sample) => ({ ...tuning, sample }),
      }),
      check: async () => (await rowProblems()).sampleProblem(can, 1003, true),
      load: async () => (await rowProblems()).sampleProblem(can, spec.vocabSize, false),
    },
  ]
}

/** [rows, sums, groups, teams] of attention. A software device takes seconds to compile one. */
const SHAPES: Readonly<
  Record<RunKind, readonly (readonly [rows: number, sums: number, groups: number, teams: number])[]>
> = {
  // biome-ignore format: a table
  runs: [[4, 16, 2, 4], [8, 16, 2, 4], [4, 8, 2, 4], [4, 8, 2, 1], [4, 8, 1, 4], [2, 8, 1, 1]],
  // biome-ignore format: a table
  singles: [[1, 8, 2, 1], [1, 16, 1, 1], [1, 8, 1, 4], [1, 4, 1, 1], [1, 8, 1, 1]],
}
const SOFTWARE_SHAPES: typeof SHAPES = {
  // biome-ignore format: a table
  runs: [[4, 8, 2, 1], [4, 24, 2, 1]],
  // biome-ignore format: a table
  singles: [[1, 16, 1, 1], [1, 4, 1, 1], [1, 8, 1, 1]],
}

const labelOf = ({ rows, sums, groups, teams }: AttentionTuning): string =>
  `${rows} rows, ${sums} sums, ${groups} groups${inTeams(teams)}`

function attentionTunable(can: Capabilities, spec: ModelSpec, of: RunKind): Tunable {
  const shape = { heads: spec.numHeads, kvHeads: spec.numKvHeads, headDim: spec.headDim }
  const small = { heads: spec.numHeads / spec.numKvHeads, kvHeads: 1, headDim: spec.headDim }
  const shapes = (can.software ? SOFTWARE_SHAPES : SHAPES)[of]
  const tunings: readonly AttentionTuning[] = shapes.map(([rows, sums, groups, teams]) => ({
    rows,
    sums,
    groups,
    teams,
  }))
  return {
    ...choice(`attention, ${of}`, tunings, labelOf, {
      read: ({ attention }) => attention[of],
      with: (tuning, value) => ({ ...tuning, attention: { ...tuning.attention, [of]: value } }),
    }),
    check: async () => {
      const { attentionProblem } = await problems()
      return attentionProblem(can, of, small, { rows: of === 'runs' ? 13 : 2, context: 37 }) // part of a run is left over
    },
    load: async () => {
      const { attentionProblem } = await problems()
      return attentionProblem(can, of, shape, { rows: of === 'runs' ? 16 : 4, context: LOAD_CONTEXT })
    },
  }
}

function splitTunable(can: Capabilities, spec: ModelSpec, rows: SplitClass): Tunable {
  const shape = { heads: spec.numHeads, kvHeads: spec.numKvHeads, headDim: spec.headDim }
  const small = { heads: spec.numHeads / spec.numKvHeads, kvHeads: 1, headDim: spec.headDim }
  return {
    ...choice(
      `long contexts, ${rows === 1 ? '1 row' : `${rows === 64 ? 'more' : `up to ${rows}`} rows`}`,
      [false, true],
      (spread) => (spread ? 'spread over teams' : 'one team each'),
      {
        read: ({ splits }) => splits[rows],
        with: (tuning, value) => ({ ...tuning, splits: { ...tuning.splits, [rows]: value } }),
      },
    ),
    check: async () =>
      (await splitProblems()).splitProblem(can, rows, small, { rows: 2, context: CHECK_SPLIT_CONTEXT }),
    load: async () => (await splitProblems()).splitProblem(can, rows, shape, { rows, context: LOAD_SPLIT_CONTEXT }),
  }
}
