/** Packs step tables for kernel tests out of what matters to them. */
import { type RowEntry, runsOf, StepTables, TILE_ROWS } from '../../src/model/stepTables.ts'

export interface TestRow {
  readonly token?: RowEntry['token']
  readonly position?: number
  /** Physical block of each logical one. */
  readonly blocks?: readonly number[]
  /** Adapter slot; rows of one slot must be neighbours. */
  readonly slot?: number | null
}

export interface TestStep {
  readonly rows: readonly TestRow[]
  /** Rows whose logits are wanted. */
  readonly logits?: readonly number[]
  readonly splits?: number
  /** Tiles of logits rows. */
  readonly headTiles?: readonly TestTile[]
}

export interface TestTile {
  readonly slot: number
  readonly start: number
  readonly count: number
}

/** The adapter segments of `rows`, cut into tiles as the runner cuts them. */
export function tilesOf(rows: readonly TestRow[]): TestTile[] {
  const tiles: { slot: number; start: number; count: number }[] = []
  rows.forEach(({ slot = null }, row) => {
    if (slot === null) return
    const last = tiles.at(-1)
    if (last && last.slot === slot && last.start + last.count === row && last.count < TILE_ROWS) last.count++
    else tiles.push({ slot, start: row, count: 1 })
  })
  return tiles
}

/** The runs that rows make of which neighbours share a block table. */
export function testRunsOf(rows: readonly TestRow[]): ReturnType<typeof runsOf> {
  const spans: number[] = []
  rows.forEach(({ blocks, position }, row) => {
    const before = rows[row - 1]
    const follows = blocks !== undefined && blocks === before?.blocks && position === (before.position ?? 0) + 1
    if (follows) spans[spans.length - 1]!++
    else spans.push(1)
  })
  return runsOf(spans)
}

export function stepWordsOf({ rows, logits = [], splits = 1, headTiles = [] }: TestStep): Uint32Array<ArrayBuffer> {
  const tiles = tilesOf(rows)
  const { runs, singles } = testRunsOf(rows)
  const listed = rows.reduce((sum, { blocks = [] }) => sum + blocks.length, 0)
  const tables = new StepTables(
    16 + rows.length * 6 + tiles.length * 4 + (logits.length + headTiles.length) * 16 + listed,
  )
  tables.begin({
    rows: rows.length,
    tiles: tiles.length,
    logits: logits.length,
    splits,
    headTiles: headTiles.length,
    runs: runs.length,
    singles: singles.length,
  })
  const offsets = new Map<readonly number[], number>()
  for (const { token = 0, position = 0, blocks = [], slot = null } of rows) {
    const blockTable = offsets.get(blocks) ?? tables.addList(blocks)
    offsets.set(blocks, blockTable)
    tables.addRow({ token, position, blockTable, slot })
  }
  for (const run of [...runs, ...singles]) tables.addRun(run)
  for (const { slot, start, count } of tiles) tables.addTile(slot, start, count)
  for (const { slot, start, count } of headTiles) tables.addHeadTile(slot, start, count)
  for (const row of logits) {
    tables.addLogits({
      row,
      score: null,
      topLogprobs: null,
      temperature: 0,
      topK: 0,
      topP: 1,
      minP: 0,
      seed: 0,
      position: 0,
      adjustment: null,
    })
  }
  return tables.words.slice(0, tables.length)
}
