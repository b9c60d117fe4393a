/** The static buffers that a step's rows pass through: allocated once for the largest step. */
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import { FLOAT_BYTES } from '../weights/dtype.ts'
import { attentionPartialBytes, MAX_ROW_SPLITS } from './kernels/attention.ts'
import type { ActivationDtype } from './kernels/includes.ts'
import { groupShape, type ModelSpec } from './spec.ts'

/** What the largest step is. */
export interface StepLimits {
  /** Token rows per step. */
  readonly maxRows: number
  /** Rows of logits per step. */
  readonly maxLogitsRows: number
  /** Longest sequence in tokens. */
  readonly maxModelLen: number
  /** Largest rank of an adapter's module. */
  readonly maxLoraRank: number
}

/** f32, but for what projections read, which may be stored as halves: sums and the residual stream are always f32. */
export interface Activations {
  /** [rows, hidden]: the residual stream. */
  readonly residual: Tracked
  /** [rows, hidden]: what goes into attn_in and mlp_in. */
  readonly normed: Tracked
  /** [rows, q | k | v] */
  readonly qkv: Tracked
  /** [rows, heads * headDim] */
  readonly attended: Tracked
  /** [rows, hidden]: what attn_out and mlp_out add to the residual. */
  readonly delta: Tracked
  /** [rows, gate | up] */
  readonly gateUp: Tracked
  /** [rows, intermediate] */
  readonly activated: Tracked
  /** [splits, rows, stacked rank]: between LoRA shrink and expand. */
  readonly down: Tracked
  /** Unfinished attention of several context splits. */
  readonly partials: Tracked
  /** [logits rows, hidden]: what goes into lm_head. */
  readonly lastNormed: Tracked
  /** [logits rows, vocab] */
  readonly logits: Tracked
}

/** Stacked rank of a group at most: three projections share an input. */
export function downColumns(maxLoraRank: number): number {
  return 3 * Math.ceil(maxLoraRank / 4) * 4
}

/** Rows of a slice of `down`: it serves the step's rows and, for the output layer, its logits rows. */
export function downRows({ maxRows, maxLogitsRows }: StepLimits): number {
  return Math.max(maxRows, maxLogitsRows)
}

const READ_BY_PROJECTIONS: ReadonlySet<keyof Activations> = new Set(['normed', 'attended', 'activated', 'lastNormed'])

/**
 * @param dtype of what projections read
 * @throws GpuOutOfMemoryError, with nothing left allocated.
 */
export async function allocateActivations(
  gpu: Gpu,
  spec: ModelSpec,
  limits: StepLimits,
  loraSplits: number,
  dtype: ActivationDtype,
): Promise<Activations> {
  const { maxRows, maxLogitsRows } = limits
  const floats = (label: keyof Activations, count: number) => {
    const bytes = READ_BY_PROJECTIONS.has(label) ? FLOAT_BYTES[dtype] : 4
    return { label, purpose: 'activations' as const, byteLength: count * bytes }
  }
  const heads = { heads: spec.numHeads, kvHeads: spec.numKvHeads, headDim: spec.headDim }
  const names = [
    'residual',
    'normed',
    'qkv',
    'attended',
    'delta',
    'gateUp',
    'activated',
    'down',
    'partials',
    'lastNormed',
    'logits',
  ] as const
  const counts: Readonly<Record<(typeof names)[number], number>> = {
    residual: maxRows * spec.hiddenSize,
    normed: maxRows * spec.hiddenSize,
    qkv: maxRows * groupShape(spec, 'attn_in').out,
    attended: maxRows * spec.numHeads * spec.headDim,
    delta: maxRows * spec.hiddenSize,
    gateUp: maxRows * groupShape(spec, 'mlp_in').out,
    activated: maxRows * spec.intermediateSize,
    down: loraSplits * downRows(limits) * downColumns(limits.maxLoraRank),
    partials: attentionPartialBytes(heads, Math.max(MAX_ROW_SPLITS, maxRows), 1) / 4,
    lastNormed: maxLogitsRows * spec.hiddenSize,
    logits: maxLogitsRows * spec.vocabSize,
  }
  const buffers = await gpu.allocateAll(names.map((name) => floats(name, counts[name])))
  return Object.fromEntries(names.map((name, i) => [name, buffers[i]!])) as unknown as Activations
}
