/**
 * How a matrix lies among the packed bytes of an adapter, and the way there and back: rows filled up to a padded rank, another
 * element type, or columns as rows. Most matrices lie there as they are in the file.
 */
import { FLOAT_BYTES, type FloatDtype, fromFloat32, toFloat32 } from '../weights/dtype.ts'
import type { LoraTensor } from './normal.ts'

export interface MatrixPlace {
  /** In bytes; a multiple of 16. */
  readonly offset: number
  readonly dtype: FloatDtype
  /** Elements from the start of a row to that of the next; of a transposed one, from column to column. */
  readonly stride: number
  readonly isTransposed: boolean
}

/** Columns of a transposed matrix that are written together: what they touch stays in the processor's caches. */
const BLOCK_COLUMNS = 512

/** What is known of a matrix besides its bytes. */
export type MatrixForm = Pick<LoraTensor, 'dtype' | 'shape'>

/**
 * Puts whole rows of a matrix, from `firstRow` on, in their place among `packed`, which begins at a multiple of 4 in its
 * buffer. What lies between them there is left alone.
 */
export function putRows(
  packed: Uint8Array,
  place: MatrixPlace,
  { dtype, shape }: MatrixForm,
  firstRow: number,
  rows: Uint8Array,
): void {
  const columns = shape[1]
  const width = FLOAT_BYTES[place.dtype]
  const source = dtype === place.dtype ? rows : bytesOf(toFloat32(rows, dtype))
  if (liesAsItIs(place, columns)) {
    packed.set(source, place.offset + firstRow * columns * width)
    return
  }
  const to = wordsOf(packed, width)
  const from = wordsOf(source, width)
  const start = place.offset / width
  if (place.isTransposed) transpose(to, start + firstRow, place.stride, from, columns)
  else spread(to, start + firstRow * place.stride, place.stride, from, columns)
}

/** The bytes of a matrix as they were before putRows(); where they lie there as they are, no copy. */
export function takeMatrix(packed: Uint8Array, place: MatrixPlace, { dtype, shape }: MatrixForm): Uint8Array {
  const [rows, columns] = shape
  const width = FLOAT_BYTES[place.dtype]
  const byteLength = rows * columns * width
  const isThere = liesAsItIs(place, columns)
  const bytes = isThere ? packed.subarray(place.offset, place.offset + byteLength) : new Uint8Array(byteLength)
  if (!isThere) {
    const from = wordsOf(packed, width)
    const to = wordsOf(bytes, width)
    const start = place.offset / width
    const [rowStep, columnStep] = place.isTransposed ? [1, place.stride] : [place.stride, 1]
    for (let row = 0, i = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, i++) {
        to[i] = from[start + row * rowStep + column * columnStep]!
      }
    }
  }
  // What was widened was rounded to this width before, so that this rounds nothing.
  return dtype === place.dtype ? bytes : fromFloat32(toFloat32(bytes, place.dtype), dtype)
}

function liesAsItIs({ stride, isTransposed }: MatrixPlace, columns: number): boolean {
  return !isTransposed && stride === columns
}

type Words = Uint16Array | Uint32Array

/** Rows of `columns` elements, each `stride` behind the one before. */
function spread(to: Words, start: number, stride: number, from: Words, columns: number): void {
  for (let i = 0, at = start; i < from.length; at += stride) {
    for (let column = 0; column < columns; column++, i++) to[at + column] = from[i]!
  }
}

/** Each row becomes a column, `stride` elements from one of its elements to the next. */
function transpose(to: Words, start: number, stride: number, from: Words, columns: number): void {
  const rows = from.length / columns
  for (let first = 0; first < columns; first += BLOCK_COLUMNS) {
    const end = Math.min(columns, first + BLOCK_COLUMNS)
    for (let row = 0; row < rows; row++) {
      let at = start + row + first * stride
      for (let i = row * columns + first; i < row * columns + end; i++, at += stride) to[at] = from[i]!
    }
  }
}

/** A typed array wants its start aligned; a file's tensors need not be. */
function wordsOf(bytes: Uint8Array, width: number): Words {
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % width === 0 ? bytes : bytes.slice()
  const length = Math.floor(byteLength / width)
  return width === 4 ? new Uint32Array(buffer, byteOffset, length) : new Uint16Array(buffer, byteOffset, length)
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
