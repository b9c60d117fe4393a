/**
 * An adapter that was read from files, as host memory keeps it: one stretch of bytes in the order and the widths of the slabs
 * (packing.ts), so that an upload is a few large writes and nothing is put in order twice. Its tensors in normal form are
 * views of it where they lie there as they are in the file, and else made out of it whenever somebody asks for them.
 */
import { FLOAT_BYTES } from '../weights/dtype.ts'
import { type MatrixForm, type MatrixPlace, putRows, takeMatrix } from './matrixPlace.ts'
import type { LoraTensor, LoraVector } from './normal.ts'
import { matricesOf, vectorsOf } from './packedBytes.ts'
import type { AdapterImage, PackedLayout } from './packing.ts'

/**
 * Makes an image in two steps, because where anything lies depends on the forms of all tensors: first these, then the bytes, in
 * whatever order they come. A tensor is known by a `Key` of the caller's: the same key is the same tensor.
 */
export class ImageMaker<Key> {
  readonly #matrices = new Map<Key, PlacedMatrix>()
  readonly #vectors = new Map<Key, LoraVector>()

  /** A matrix whose bytes will come. `order`: which row of the file each of its rows is. */
  matrix(key: Key, form: MatrixForm, order?: readonly number[]): LoraTensor {
    const matrix = this.#matrices.get(key) ?? new PlacedMatrix(form, order)
    this.#matrices.set(key, matrix)
    return matrix.tensor
  }

  /** A vector whose bytes will come. These stay beside the image, where some of them have another form. */
  vector(key: Key, { dtype, shape }: Pick<LoraVector, 'dtype' | 'shape'>): LoraVector {
    const vector = this.#vectors.get(key) ?? { dtype, shape, bytes: new Uint8Array(shape[0] * FLOAT_BYTES[dtype]) }
    this.#vectors.set(key, vector)
    return vector
  }

  /** What an image with this layout will take. */
  hostBytesOf({ byteLength }: PackedLayout): number {
    return [...this.#vectors.values()].reduce((sum, { bytes }) => sum + bytes.byteLength, byteLength)
  }

  /** All matrices and vectors are in `layout`, and their bytes can come. */
  begin(layout: PackedLayout): AdapterImage {
    const bytes = new Uint8Array(layout.byteLength)
    const matrices = new Map([...this.#matrices.values()].map((matrix) => [matrix.tensor, matrix]))
    for (const packed of layout.groups) {
      for (const [tensor, place] of matricesOf(packed)) matrices.get(tensor)!.lieAt(bytes, place)
    }
    return { layout, bytes, hostBytes: this.hostBytesOf(layout) }
  }

  /** The bytes of whole rows of a matrix or a vector, from `firstRow` on. */
  put(key: Key, firstRow: number, rows: Uint8Array): void {
    this.#matrices.get(key)?.put(firstRow, rows)
    const vector = this.#vectors.get(key)
    vector?.bytes.set(rows, firstRow * FLOAT_BYTES[vector.dtype])
  }

  /** All bytes have come. */
  end({ layout, bytes }: AdapterImage): void {
    for (const packed of layout.groups) {
      for (const piece of vectorsOf(packed)) bytes.set(piece.bytes, piece.offset)
    }
  }
}

class PlacedMatrix {
  readonly tensor: LoraTensor
  /** Which of its rows each row of the file is. */
  readonly #rowOf: ReadonlyMap<number, number> | null
  #packed: Uint8Array = new Uint8Array()
  /** Two where two modules have the same rows. */
  readonly #places: MatrixPlace[] = []

  constructor({ dtype, shape }: MatrixForm, order?: readonly number[]) {
    const take = (): Uint8Array => takeMatrix(this.#packed, this.#places[0]!, this.tensor)
    this.tensor = {
      dtype,
      shape,
      get bytes(): Uint8Array {
        return take()
      },
    }
    this.#rowOf = order ? new Map(order.map((from, to) => [from, to])) : null
  }

  lieAt(packed: Uint8Array, place: MatrixPlace): void {
    this.#packed = packed
    this.#places.push(place)
  }

  put(firstRow: number, rows: Uint8Array): void {
    const { dtype, shape } = this.tensor
    const rowBytes = shape[1] * FLOAT_BYTES[dtype]
    for (const place of this.#places) {
      if (!this.#rowOf) {
        putRows(this.#packed, place, this.tensor, firstRow, rows)
        continue
      }
      for (let at = 0, row = firstRow; at < rows.byteLength; at += rowBytes, row++) {
        putRows(this.#packed, place, this.tensor, this.#rowOf.get(row)!, rows.subarray(at, at + rowBytes))
      }
    }
  }
}
