/**
 * The device side of the engine: turns a Batch into the tables of one step, records the forward pass and the sampler
 * into one compute pass, submits once, and reads the records back.
 *
 * Rows are sorted by adapter slot, base first, so that rows of one adapter are neighbours: segments. Segments are cut
 * into tiles for the LoRA kernels; base rows are in no tile and cost nothing.
 */
import { invariant } from '../errors.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import type { PendingReadback, ReadbackRing } from '../gpu/readbackRing.ts'
import { type AdapterUse, combineUses, isUsed } from '../model/adapterUse.ts'
import { adjustmentWords } from '../model/adjustment.ts'
import type { ForwardPass } from '../model/forward.ts'
import { BLOCK_SIZE } from '../model/kvCache.ts'
import { RECORD_BYTES, readRecord, type Sampler } from '../model/sampler.ts'
import { type RowEntry, runsOf, type StepShape, StepTables, stepWords, TILE_ROWS } from '../model/stepTables.ts'
import { splitAtActivation } from './activation.ts'
import { adjustmentOf, isAdjusted } from './adjustmentOf.ts'
import {
  type Batch,
  type LogitsRow,
  MAX_IN_FLIGHT,
  MAX_STOP_IDS,
  numRowsOf,
  type Runner,
  type RunnerLimits,
  type Span,
  type StepResult,
} from './batch.ts'

/** Results that may be on their way at once: those of steps, and an echo. */
const RING_DEPTH = MAX_IN_FLIGHT + 1
const ECHO_BYTES = 4

/** What the runner asks of the adapter pool. */
export interface ResidentAdapters {
  /** Adapters come in between steps. What comes back is called when the step's result is there or will not be. */
  stepSubmitted(): () => void
  /** What the adapter in a slot does. */
  use(slot: number): AdapterUse
}

export interface GpuRunnerParts {
  readonly gpu: Gpu
  readonly forward: ForwardPass
  readonly sampler: Sampler
  readonly adapters: ResidentAdapters
  readonly limits: RunnerLimits
  /** The buffer the forward pass reads its step from. */
  readonly stepBuffer: Tracked
}

/** Words of the step buffer for a runner with these limits. */
export function stepBufferWords(limits: RunnerLimits): number {
  return stepWords({
    maxRows: limits.maxRows,
    maxSpans: limits.maxSpans,
    maxLogits: limits.maxLogitsRows,
    blocksPerSequence: Math.ceil(limits.maxModelLen / BLOCK_SIZE),
    adjustmentWords: adjustmentWords(limits.vocabSize),
    maxStopIds: MAX_STOP_IDS,
  })
}

export class GpuRunner implements Runner {
  readonly limits: RunnerLimits
  readonly #parts: GpuRunnerParts
  readonly #tables: StepTables
  readonly #ring: ReadbackRing
  /** What the first step that failed failed with. */
  #failure: unknown = null

  private constructor(parts: GpuRunnerParts, ring: ReadbackRing) {
    this.limits = parts.limits
    this.#parts = parts
    this.#ring = ring
    this.#tables = new StepTables(stepBufferWords(parts.limits))
  }

  /** `owned` receives the buffers it makes, for the caller to destroy. @throws GpuOutOfMemoryError */
  static async create(parts: GpuRunnerParts, owned: Tracked[]): Promise<GpuRunner> {
    const ring = await parts.gpu.readbackRing(RING_DEPTH, parts.limits.maxLogitsRows * RECORD_BYTES, owned)
    return new GpuRunner(parts, ring)
  }

  async submit(batch: Batch): Promise<StepResult> {
    if (this.#failure) throw this.#failure
    const { gpu } = this.#parts
    const parts = batch.spans.flatMap(splitAtActivation)
    const spans = sortedBySlot(parts)
    try {
      const bytes = await this.#run(spans)
      if (this.#failure) throw this.#failure
      const gpuTime = (await gpu.profiler?.collect()) ?? null
      return { records: recordsOf(parts, spans, bytes), gpuTime }
    } catch (error) {
      this.#failure ??= error
      throw error
    }
  }

  async echo(): Promise<void> {
    const recorder = this.#parts.gpu.recorder()
    const pending = this.#ring.record(recorder, this.#parts.sampler.records, ECHO_BYTES)
    recorder.submit()
    await pending.read()
  }

  /** The step's records, when it has run. */
  async #run(spans: readonly Span[]): Promise<Uint8Array<ArrayBuffer>> {
    const pending = this.#record(spans)
    const settled = this.#parts.adapters.stepSubmitted()
    try {
      return await pending.read()
    } finally {
      settled()
    }
  }

  /** One write, one pass, one submit. A step of which nobody wants logits brings back a few bytes, as a sign. */
  #record(spans: readonly Span[]): PendingReadback {
    const { gpu, forward, sampler, stepBuffer } = this.#parts
    const shape = this.#fillTables(spans)
    gpu.write(stepBuffer, 0, this.#tables.words, this.#tables.length)

    const recorder = gpu.recorder({ timed: true })
    forward.record(recorder, shape, this.#use(spans))
    const wantsLogprobs = spans.some(({ logits }) => logits.some(({ topLogprobs }) => topLogprobs !== null))
    sampler.record(recorder, shape.logits, wantsLogprobs, shape.adjusted)
    const pending = this.#ring.record(recorder, sampler.records, Math.max(ECHO_BYTES, shape.logits * RECORD_BYTES))
    recorder.submit()
    return pending
  }

  #fillTables(spans: readonly Span[]): StepShape {
    const tables = this.#tables
    const tiles = tilesOf(segmentsOf(spans, numRowsOf))
    const headTiles = tilesOf(segmentsOf(spans, ({ logits }) => logits.length)).filter(({ slot }) =>
      isUsed(this.#parts.adapters.use(slot).head),
    )
    const { runs, singles } = runsOf(spans.map(numRowsOf))
    const rows = sum(spans, numRowsOf)
    const shape: StepShape = {
      rows,
      tiles: tiles.length,
      headTiles: headTiles.length,
      runs: runs.length,
      singles: singles.length,
      logits: sum(spans, ({ logits }) => logits.length),
      adjusted: sum(spans, ({ logits }) => logits.filter(({ want }) => isAdjusted(want)).length),
      splits: this.#parts.forward.splitsFor(rows, Math.max(...spans.map((span) => span.start + numRowsOf(span)))),
    }
    invariant(
      shape.rows <= this.limits.maxRows && shape.logits <= this.limits.maxLogitsRows,
      'A batch exceeds the limits',
    )
    tables.begin(shape)
    const firstRow = new Map<Span, number>()
    // Two parts of one span have one block table.
    const blockTables = new Map<Span['blockTable'], number>()
    let row = 0
    for (const span of spans) {
      firstRow.set(span, row)
      const blockTable = blockTables.get(span.blockTable) ?? tables.addList(span.blockTable)
      blockTables.set(span.blockTable, blockTable)
      tokensOf(span).forEach((token, i) => {
        tables.addRow({ token, position: span.start + i, blockTable, slot: span.slot })
      })
      row += numRowsOf(span)
    }
    for (const { slot, rowStart, rowCount } of tiles) tables.addTile(slot, rowStart, rowCount)
    for (const run of [...runs, ...singles]) tables.addRun(run)
    for (const { slot, rowStart, rowCount } of headTiles) tables.addHeadTile(slot, rowStart, rowCount)
    for (const span of spans) {
      for (const wanted of span.logits) this.#addLogits(wanted, firstRow.get(span)! + wanted.row, span.register)
    }
    return shape
  }

  #addLogits({ want, topLogprobs }: LogitsRow, row: number, register: number | undefined): void {
    const sampled = 'sample' in want ? want : null
    const { temperature = 0, topK = 0, topP = 1, minP = 0, seed = 0 } = sampled?.sample ?? {}
    const { counts } = this.#parts.sampler
    const adjustment = sampled && isAdjusted(sampled) ? adjustmentOf(sampled, register, counts) : null
    this.#tables.addLogits({
      row,
      score: 'score' in want ? want.score : null,
      topLogprobs,
      temperature,
      topK,
      topP,
      minP,
      seed,
      position: sampled?.position ?? 0,
      adjustment: adjustment && this.#tables.addAdjustment(adjustment),
      ...(sampled && register !== undefined
        ? { keep: { register, stopIds: (sampled.stopIds ?? []).slice(0, MAX_STOP_IDS) } }
        : {}),
    })
  }

  /** What the adapters of this step do together: it decides what is dispatched, and how wide. */
  #use(spans: readonly Span[]): AdapterUse {
    const slots = [...new Set(spans.map(({ slot }) => slot))]
    const uses = slots.map((slot) => (slot === null ? null : this.#parts.adapters.use(slot)))
    const passes = new Set(uses.map((use) => use?.layers?.key))
    invariant(passes.size === 1, 'The rows of a step run different layers')
    return combineUses(uses.filter((use) => use !== null))
  }
}

/** A span's tokens, or the register where the device finds the only one. */
function tokensOf({ tokens, register }: Span): readonly RowEntry['token'][] {
  if (tokens) return tokens
  invariant(register !== undefined, 'A token is fed from no register')
  return [{ register }]
}

/** The records of a step, in the order of `spans`. They lie in that of `sorted`, as logits rows do. */
function recordsOf(
  spans: readonly Span[],
  sorted: readonly Span[],
  bytes: Uint8Array<ArrayBuffer>,
): StepResult['records'] {
  const first = new Map<Span, number>()
  let next = 0
  for (const span of sorted) {
    first.set(span, next)
    next += span.logits.length
  }
  return spans.flatMap((span) =>
    span.logits.map(({ topLogprobs }, i) => readRecord(bytes, first.get(span)! + i, topLogprobs)),
  )
}

/** Base first, then by slot; in the given order within one. */
function sortedBySlot(spans: readonly Span[]): Span[] {
  return [...spans].sort((one, other) => (one.slot ?? -1) - (other.slot ?? -1))
}

interface Segment {
  readonly slot: number
  readonly rowStart: number
  readonly rowCount: number
}

/**
 * Neighbouring rows of one adapter, of which a span has `count`. `spans` are sorted by slot; rows of the base are in no
 * segment.
 */
function segmentsOf(spans: readonly Span[], count: (span: Span) => number): Segment[] {
  const segments: Segment[] = []
  let row = 0
  for (const span of spans) {
    const { slot } = span
    const rowCount = count(span)
    const last = segments.at(-1)
    if (slot !== null && rowCount > 0 && last?.slot === slot) {
      segments[segments.length - 1] = { ...last, rowCount: last.rowCount + rowCount }
    } else if (slot !== null && rowCount > 0) {
      segments.push({ slot, rowStart: row, rowCount })
    }
    row += rowCount
  }
  return segments
}

/** Segments cut into pieces of at most TILE_ROWS rows. */
function tilesOf(segments: readonly Segment[]): Segment[] {
  return segments.flatMap(({ slot, rowStart, rowCount }) =>
    Array.from({ length: Math.ceil(rowCount / TILE_ROWS) }, (_, i) => ({
      slot,
      rowStart: rowStart + i * TILE_ROWS,
      rowCount: Math.min(TILE_ROWS, rowCount - i * TILE_ROWS),
    })),
  )
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}
