/** Tables of steps that kernels are measured in. */
import type { RunKind } from '../../model/kernels/tuning.ts'
import { BLOCK_SIZE } from '../../model/kvCache.ts'
import { runsOf, StepTables, TILE_ROWS } from '../../model/stepTables.ts'

export interface StepOf {
  readonly rows: number
  /** Rows of each adapter; 0 for base rows. */
  readonly perSlot?: number
  /** Tokens that the last row sees, itself included. */
  readonly context?: number
  /** `decode`: each row is of a sequence of its own; `prefill`: they are the last tokens of one. */
  readonly kind?: 'decode' | 'prefill'
  readonly splits?: number
}

export interface BuiltStep {
  readonly words: Uint32Array<ArrayBuffer>
  readonly tiles: number
  /** Slots of the KV cache that the step's sequences take. */
  readonly cacheSlots: number
  /** How many of each there are. */
  readonly runs: Readonly<Record<RunKind, number>>
}

export function stepOf({ rows, perSlot = 0, context = 1, kind = 'decode', splits = 1 }: StepOf): BuiltStep {
  const tiles = perSlot ? Math.ceil(perSlot / TILE_ROWS) * (rows / perSlot) : 0
  const blocks = Math.ceil(context / BLOCK_SIZE)
  const sequences = kind === 'decode' ? rows : 1
  const { runs, singles } = runsOf(Array(sequences).fill(rows / sequences))
  const tables = new StepTables(16 + rows * 6 + tiles * 4 + sequences * blocks)
  tables.begin({ rows, tiles, logits: 0, splits, runs: runs.length, singles: singles.length })
  const lists = Array.from({ length: sequences }, (_, sequence) =>
    // Backwards, since blocks of a sequence lie anywhere.
    tables.addList(Array.from({ length: blocks }, (_, i) => (sequence + 1) * blocks - 1 - i)),
  )
  for (let row = 0; row < rows; row++) {
    const position = kind === 'decode' ? context - 1 : context - rows + row
    const blockTable = lists[kind === 'decode' ? row : 0]!
    tables.addRow({ token: row, position, blockTable, slot: perSlot ? Math.floor(row / perSlot) : null })
  }
  for (let row = 0; perSlot && row < rows; row += perSlot) {
    for (let start = 0; start < perSlot; start += TILE_ROWS) {
      tables.addTile(row / perSlot, row + start, Math.min(TILE_ROWS, perSlot - start))
    }
  }
  for (const run of [...runs, ...singles]) tables.addRun(run)
  return {
    words: tables.words,
    tiles,
    cacheSlots: sequences * blocks * BLOCK_SIZE,
    runs: { runs: runs.length, singles: singles.length },
  }
}
