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
import type { ReadbackRing } from '../gpu/readbackRing.ts'
import { type AdapterUse, combineUses } from '../model/adapterUse.ts'
import { adjustmentWords } from '../model/adjustment.ts'
import type { ForwardPass } from '../model/forward.ts'
import { BLOCK_SIZE } from '../model/kvCache.ts'
import { RECORD_BYTES, readRecord, type Sampler } from '../model/sampler.ts'
import { type StepShape, StepTables, stepWords, TILE_ROWS } from '../model/stepTables.ts'
import { adjustmentOf, isAdjusted } from './adjustmentOf.ts'
import type { Batch, LogitsRow, Runner, RunnerLimits, Span, StepResult } from './batch.ts'

/** Steps whose results may be on their way at once. */
const RING_DEPTH = 2

/** What the runner asks of the adapter pool. */
export interface ResidentAdapters {
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
  })
}

export class GpuRunner implements Runner {
  readonly limits: RunnerLimits
  readonly #parts: GpuRunnerParts
  readonly #tables: StepTables
  readonly #ring: ReadbackRing

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
    const { gpu, forward, sampler } = this.#parts
    const spans = sortedBySlot(batch.spans)
    const shape = this.#fillTables(batch, spans)
    gpu.write(this.#parts.stepBuffer, 0, this.#tables.words, this.#tables.length)

    const recorder = gpu.recorder()
    forward.record(recorder, shape, this.#use(spans))
    const wanted = batch.spans.flatMap(({ logits }) => logits)
    sampler.record(
      recorder,
      shape.logits,
      wanted.some(({ topLogprobs }) => topLogprobs !== null),
      shape.adjusted,
    )
    const pending = shape.logits ? this.#ring.record(recorder, sampler.records, shape.logits * RECORD_BYTES) : null
    recorder.submit()

    const bytes = pending ? await pending.read() : await gpu.idle().then(() => new Uint8Array(0))
    await gpu.profiler?.collect()
    return { records: wanted.map((row, index) => readRecord(bytes, index, row.topLogprobs)) }
  }

  #fillTables(batch: Batch, spans: readonly Span[]): StepShape {
    const tables = this.#tables
    const tiles = tilesOf(segmentsOf(spans))
    const rows = sum(spans, ({ tokens }) => tokens.length)
    const shape: StepShape = {
      rows,
      tiles: tiles.length,
      logits: sum(spans, ({ logits }) => logits.length),
      adjusted: sum(spans, ({ logits }) => logits.filter(({ want }) => isAdjusted(want)).length),
      splits: this.#parts.forward.splitsFor(rows, Math.max(...spans.map(({ start, tokens }) => start + tokens.length))),
    }
    invariant(
      shape.rows <= this.limits.maxRows && shape.logits <= this.limits.maxLogitsRows,
      'A batch exceeds the limits',
    )
    tables.begin(shape)
    const firstRow = new Map<Span, number>()
    let row = 0
    for (const span of spans) {
      firstRow.set(span, row)
      const blockTable = tables.addList(span.blockTable)
      span.tokens.forEach((token, i) => {
        tables.addRow({ token, position: span.start + i, blockTable, slot: span.slot })
      })
      row += span.tokens.length
    }
    for (const { slot, rowStart, rowCount } of tiles) tables.addTile(slot, rowStart, rowCount)
    for (const span of batch.spans) {
      for (const wanted of span.logits) this.#addLogits(wanted, firstRow.get(span)! + wanted.row)
    }
    return shape
  }

  #addLogits({ want, topLogprobs }: LogitsRow, row: number): void {
    const sampled = 'sample' in want ? want : null
    const { temperature = 0, topK = 0, topP = 1, minP = 0, seed = 0 } = sampled?.sample ?? {}
    const adjustment = sampled && isAdjusted(sampled) ? adjustmentOf(sampled, this.#parts.sampler.counts) : null
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
    })
  }

  /** What the adapters of this step do together: it decides what is dispatched, and how wide. */
  #use(spans: readonly Span[]): AdapterUse {
    const slots = [...new Set(spans.map(({ slot }) => slot))].filter((slot) => slot !== null)
    return combineUses(slots.map((slot) => this.#parts.adapters.use(slot)))
  }
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

/** Neighbouring rows of one adapter. `spans` are sorted by slot; base rows are in no segment. */
function segmentsOf(spans: readonly Span[]): Segment[] {
  const segments: Segment[] = []
  let row = 0
  for (const { slot, tokens } of spans) {
    const last = segments.at(-1)
    if (slot !== null && last?.slot === slot) {
      segments[segments.length - 1] = { ...last, rowCount: last.rowCount + tokens.length }
    } else if (slot !== null) {
      segments.push({ slot, rowStart: row, rowCount: tokens.length })
    }
    row += tokens.length
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
