/** Draws the strip on a canvas: nothing of the page is laid out again while steps run through it. */
import { cssColor, PLUMAGE, type Plume } from '../app/palette.ts'
import type { Column } from './steps.ts'

export interface Surface {
  readonly context: CanvasRenderingContext2D
  /** In CSS pixels. */
  readonly width: number
  readonly height: number
}

/** A column and the gap behind it; cells and the gaps between them. */
const COLUMN_WIDTH = 9
const COLUMN_GAP = 2
const CELL_GAP = 1.5
const MOST_CELL_HEIGHT = 14
const LEAST_CELL_HEIGHT = 3

export const PITCH: number = COLUMN_WIDTH + COLUMN_GAP

export function numColumnsThatFit(width: number): number {
  return Math.max(1, Math.floor((width + COLUMN_GAP) / PITCH))
}

/** The newest column stands at the right. `selected` is an index into `columns`. */
export function paintSteps(
  { context, width, height }: Surface,
  columns: readonly Column[],
  plumeOf: (adapter: string | null) => readonly Plume[],
  selected: number | null,
): void {
  context.clearRect(0, 0, width, height)
  const most = columns.reduce((max, { blocks }) => Math.max(max, blocks.filter((b) => !b.isPrefill).length), 6)
  const cell = Math.min(MOST_CELL_HEIGHT, Math.max(LEAST_CELL_HEIGHT, height / most))
  columns.forEach((column, index) => {
    const x = width - (columns.length - index) * PITCH + COLUMN_GAP
    if (column.followsPause) paintPause(context, x - COLUMN_GAP / 2, height)
    context.globalAlpha = selected === null || selected === index ? 1 : 0.45
    paintColumn(context, column, x, height, cell, plumeOf)
  })
  context.globalAlpha = 1
}

function paintColumn(
  context: CanvasRenderingContext2D,
  { blocks }: Column,
  x: number,
  height: number,
  cell: number,
  plumeOf: (adapter: string | null) => readonly Plume[],
): void {
  // Cells keep their size from column to column; prompts take what room is left above them.
  const cells = blocks.filter(({ isPrefill }) => !isPrefill).length
  const wanted = blocks.reduce((sum, block) => sum + (block.isPrefill ? block.height : 0), 0)
  const room = Math.max(0, height - cells * cell)
  const prefillCell = wanted === 0 ? 0 : Math.min(cell, room / wanted)
  let bottom = height
  for (const block of blocks) {
    const tall = block.isPrefill ? block.height * prefillCell : cell
    const inner = Math.max(1, tall - CELL_GAP)
    const plumes = plumeOf(block.adapter)
    plumes.forEach((plume, part) => {
      const wide = COLUMN_WIDTH / plumes.length
      paintBlock(context, block.isPrefill, plume, x + part * wide, bottom - inner, wide, inner)
    })
    bottom -= tall
  }
}

function paintBlock(
  context: CanvasRenderingContext2D,
  isPrefill: boolean,
  plume: Plume,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  if (isPrefill) {
    context.fillStyle = cssColor(plume, 0.28)
    context.fillRect(x, y, width, height)
    context.strokeStyle = cssColor(plume)
    context.lineWidth = 1
    context.strokeRect(x + 0.5, y + 0.5, width - 1, Math.max(0, height - 1))
    return
  }
  context.fillStyle = cssColor(plume)
  context.beginPath()
  context.roundRect(x, y, width, height, Math.min(2, height / 3))
  context.fill()
}

function paintPause(context: CanvasRenderingContext2D, x: number, height: number): void {
  context.fillStyle = 'oklch(0.8 0.03 285 / 0.5)'
  for (let y = 1; y < height; y += 6) context.fillRect(x - 0.5, y, 1, 2)
}

/** While nothing has run: an empty weave. While a model loads: as much of it as has come. */
export function paintEmpty({ context, width, height }: Surface, loaded: number | null): void {
  context.clearRect(0, 0, width, height)
  const columns = numColumnsThatFit(width)
  const rows = 6
  const cell = Math.min(MOST_CELL_HEIGHT, height / rows)
  const filled = Math.round((loaded ?? 0) * columns)
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++) {
      const plume = PLUMAGE[(column + row * 3) % 7]!
      context.fillStyle = column < filled ? cssColor(plume, 0.9) : 'oklch(0.8 0.03 285 / 0.1)'
      context.beginPath()
      context.roundRect(column * PITCH, height - (row + 1) * cell + CELL_GAP, COLUMN_WIDTH, cell - CELL_GAP, 2)
      context.fill()
    }
  }
}
