/**
 * Everything a step needs, packed into one array of u32 words that goes up in one write. `shaders/step.wgsl` reads what
 * is written here; the two must agree word for word (stepTables.test.ts holds them together).
 *
 *   header  16 words: counts and the offsets of the tables behind it
 *   rows     4 words each: token (or FED and a register), position, offset of the sequence's block table,
 *            adapter slot + 1 (0 = base)
 *   tiles    4 words each: slot, first row, rows, 0: the adapter segments, cut into pieces of at most TILE_ROWS
 *   logits  16 words each: which row, what to do with its logits, how to sample
 *   head     tiles of logits rows, 4 words each: slot, first logits row, rows, 0
 *   runs     2 words each: first row, rows that follow each other in one sequence (2 to RUN_ROWS)
 *   singles  the same of rows that stand alone
 *   lists    block tables, stop ids and adjustments of logits, wherever their owners say
 */
import { invariant } from '../errors.ts'
import { ADJUSTMENT_WORDS, type Adjustment } from './adjustment.ts'

const HEADER_WORDS = 16
const ROW_WORDS = 4
const TILE_WORDS = 4
const LOGITS_WORDS = 16
const RUN_WORDS = 2
/** Bit of a row's token: what follows is a register. */
const FED = 0x80000000

/** Below this a temperature means greedy, as in vLLM. */
const GREEDY_BELOW = 1e-5
/** Above this nothing is left of the logits' differences, and f32 is at its end. */
const HOTTEST = 1e30
const LARGEST_F32 = 3.4028234663852886e38

/** Rows of one adapter that the LoRA kernels take together. */
export const TILE_ROWS = 8

/** Most rows of a run: what attention teams of several rows share out among themselves. */
export const RUN_ROWS = 8

/** Rows that follow each other in one sequence. */
export interface Run {
  readonly rowStart: number
  readonly rowCount: number
}

/** Spans of so many rows each, one behind the other, cut into runs. What is left of a span may be a single row. */
export function runsOf(spans: Iterable<number>): { readonly runs: readonly Run[]; readonly singles: readonly Run[] } {
  const all: Run[] = []
  let rowStart = 0
  for (const rows of spans) {
    for (const end = rowStart + rows; rowStart < end; rowStart = Math.min(end, rowStart + RUN_ROWS)) {
      all.push({ rowStart, rowCount: Math.min(RUN_ROWS, end - rowStart) })
    }
  }
  const isSingle = ({ rowCount }: Run): boolean => rowCount === 1
  return { runs: all.filter((run) => !isSingle(run)), singles: all.filter(isSingle) }
}

/** What a step's grids are made of. */
export interface StepShape {
  readonly rows: number
  readonly tiles: number
  readonly logits: number
  /** Pieces of ATTENTION_SPLIT positions that the longest context of this step falls into. */
  readonly splits: number
  /** How many of the logits rows have an adjustment. Default none. */
  readonly adjusted?: number
  /** Tiles of logits rows whose adapter does something to the output layer. Default none. */
  readonly headTiles?: number
  /** Rows as attention takes them, see runsOf(). Default none. */
  readonly runs?: number
  readonly singles?: number
}

export interface RowEntry {
  /** A token id, or the register in which an earlier step left it. */
  readonly token: number | { readonly register: number }
  readonly position: number
  /** Offset of the sequence's block table, as addList() returned it. */
  readonly blockTable: number
  readonly slot: number | null
}

export interface LogitsEntry {
  /** Row of the step whose logits are wanted. */
  readonly row: number
  /** A known token to score, or null to sample one. */
  readonly score: number | null
  /** Likeliest tokens to report, or null for no log probabilities. */
  readonly topLogprobs: number | null
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly minP: number
  readonly seed: number
  readonly position: number
  /** Offset of the row's adjustment, as addAdjustment() returned it, or null. */
  readonly adjustment: number | null
  /** Where the token is kept for the next step, and the tokens after which there is none. Default: it is not kept. */
  readonly keep?: { readonly register: number; readonly stopIds: readonly number[] }
}

export class StepTables {
  readonly words: Uint32Array<ArrayBuffer>
  readonly #floats: Float32Array<ArrayBuffer>
  #shape: StepShape = { rows: 0, tiles: 0, logits: 0, splits: 1 }
  #end = 0
  #rows = 0
  #tiles = 0
  #logits = 0
  #adjusted = 0
  #headTiles = 0
  #runs = 0
  #singles = 0

  /** `capacityWords`: see stepWords(). */
  constructor(capacityWords: number) {
    this.words = new Uint32Array(capacityWords)
    this.#floats = new Float32Array(this.words.buffer)
  }

  /** Starts a step of this shape. Rows, tiles, runs and logits are then added in order, exactly as many as announced. */
  begin(shape: StepShape): void {
    const rowsOffset = HEADER_WORDS
    const tilesOffset = rowsOffset + shape.rows * ROW_WORDS
    const logitsOffset = tilesOffset + shape.tiles * TILE_WORDS
    this.#shape = shape
    this.#end = logitsOffset + shape.logits * LOGITS_WORDS
    this.#rows = this.#tiles = this.#logits = this.#adjusted = this.#headTiles = 0
    this.#runs = this.#singles = 0
    invariant(this.#end <= this.words.length, 'A step does not fit its tables')
    this.words.fill(0, 0, HEADER_WORDS)
    const adjusted = shape.adjusted ?? 0
    const adjustedOffset = this.#reserve(adjusted)
    this.words.set([shape.rows, shape.tiles, shape.logits, rowsOffset, tilesOffset, logitsOffset, shape.splits])
    const headTiles = this.#reserve((shape.headTiles ?? 0) * TILE_WORDS)
    const { runs = 0, singles = 0 } = shape
    const runsOffset = this.#reserve(runs * RUN_WORDS)
    const singlesOffset = this.#reserve(singles * RUN_WORDS)
    this.words.set([adjusted, adjustedOffset, headTiles, runsOffset, singlesOffset, runs, singles], 7)
  }

  /** Appends a list (such as a block table) and returns its offset in words. */
  addList(values: ArrayLike<number>): number {
    const offset = this.#reserve(values.length)
    this.words.set(values, offset)
    return offset
  }

  /** Appends an adjustment and returns its offset in words. */
  addAdjustment({ biases, allowed, penalties }: Adjustment): number {
    const { words } = this
    const mask = allowed ? this.addList(allowed) : 0 // 0 is in the header: never a list
    const at = this.#reserve(ADJUSTMENT_WORDS + 2 * biases.length)
    words[at] = penalties ? penalties.slot + 1 : 0
    this.#floats[at + 1] = penalties?.repetition ?? 1
    this.#floats[at + 2] = penalties?.presence ?? 0
    this.#floats[at + 3] = penalties?.frequency ?? 0
    words[at + 4] = mask
    words[at + 5] = biases.length
    let next = at + ADJUSTMENT_WORDS
    for (const { id, bias } of biases) {
      words[next++] = id
      this.#floats[next++] = bias
    }
    return at
  }

  addRow({ token, position, blockTable, slot }: RowEntry): void {
    const at = this.words[3]! + this.#rows++ * ROW_WORDS
    this.words[at] = typeof token === 'number' ? token : (FED | token.register) >>> 0
    this.words[at + 1] = position
    this.words[at + 2] = blockTable
    this.words[at + 3] = slot === null ? 0 : slot + 1
  }

  addTile(slot: number, rowStart: number, rowCount: number): void {
    this.words.set([slot, rowStart, rowCount, 0], this.words[4]! + this.#tiles++ * TILE_WORDS)
  }

  /** `rowStart` counts logits rows. */
  addHeadTile(slot: number, rowStart: number, rowCount: number): void {
    this.words.set([slot, rowStart, rowCount, 0], this.words[9]! + this.#headTiles++ * TILE_WORDS)
  }

  addRun({ rowStart, rowCount }: Run): void {
    const at = rowCount > 1 ? this.words[10]! + this.#runs++ * RUN_WORDS : this.words[11]! + this.#singles++ * RUN_WORDS
    this.words[at] = rowStart
    this.words[at + 1] = rowCount
  }

  addLogits(entry: LogitsEntry): void {
    const index = this.#logits++
    const at = this.words[5]! + index * LOGITS_WORDS
    const { words } = this
    words.fill(0, at, at + LOGITS_WORDS)
    words[at] = entry.row
    words[at + 1] = entry.score === null ? 0 : 1
    words[at + 2] = entry.score ?? 0
    words[at + 3] = entry.topLogprobs === null ? 0 : entry.topLogprobs + 1
    // As the passes over the vocabulary use them: log2(e) / temperature, and how far below the largest logit min-p reaches.
    const temperature = Math.min(entry.temperature, HOTTEST)
    this.#floats[at + 4] = temperature < GREEDY_BELOW ? 0 : Math.LOG2E / temperature
    words[at + 5] = Math.min(entry.topK, 0xffffffff)
    this.#floats[at + 6] = entry.topP
    this.#floats[at + 7] = entry.minP > 0 ? -temperature * Math.log(entry.minP) : LARGEST_F32
    words[at + 8] = entry.seed
    words[at + 9] = entry.position
    words[at + 10] = entry.adjustment ?? 0
    if (entry.keep) {
      const { register, stopIds } = entry.keep
      words[at + 11] = register + 1
      words[at + 12] = stopIds.length > 0 ? this.addList(stopIds) : 0
      words[at + 13] = stopIds.length
    }
    if (entry.adjustment !== null) words[words[8]! + this.#adjusted++] = index
  }

  /** Words in use; everything announced must have been added. */
  get length(): number {
    const { rows, tiles, logits, adjusted = 0, headTiles = 0, runs = 0, singles = 0 } = this.#shape
    const added = [this.#rows, this.#tiles, this.#logits, this.#adjusted, this.#headTiles, this.#runs, this.#singles]
    const announced = [rows, tiles, logits, adjusted, headTiles, runs, singles]
    invariant(
      added.every((count, i) => count === announced[i]),
      'A step is not what its header says',
    )
    return this.#end
  }

  #reserve(count: number): number {
    const offset = this.#end
    this.#end += count
    invariant(this.#end <= this.words.length, 'A step does not fit its tables')
    return offset
  }
}

/** Words that hold any step within these limits. */
export function stepWords(limits: {
  maxRows: number
  maxSpans: number
  maxLogits: number
  blocksPerSequence: number
  /** Of one row: see adjustmentWords(). A span has at most one row that is adjusted. */
  adjustmentWords: number
  /** Most stop ids of one row. A span draws one token at most. */
  maxStopIds: number
}): number {
  const { maxRows, maxSpans, maxLogits, blocksPerSequence, adjustmentWords, maxStopIds } = limits
  return (
    HEADER_WORDS +
    maxRows * (ROW_WORDS + TILE_WORDS + RUN_WORDS) +
    maxLogits * (LOGITS_WORDS + TILE_WORDS) +
    maxSpans * (blocksPerSequence + 1 + adjustmentWords + maxStopIds)
  )
}
