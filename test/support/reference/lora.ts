/** LoRA of one group of projections, in f64, and the pages and table that hold the same adapters on the GPU. */
import type { FloatDtype } from '../../../src/weights/dtype.ts'
import { encode } from '../encode.ts'
import type { Random } from '../random.ts'
import { matmulReference } from './matmul.ts'

/** One projection of one adapter. */
export interface LoraPart {
  /** [rank, in] */
  readonly a: Float32Array
  /** [out, rank] */
  readonly b: Float32Array
  readonly rank: number
  readonly scale: number
  /** [out], multiplied onto the sum of base and adapter; null: none. */
  readonly rowScale: Float32Array | null
  /** [out]; null: none. */
  readonly bias: Float32Array | null
}

export interface LoraAdapter {
  readonly dtype: FloatDtype
  /** By projection of the group; null where it is not adapted. */
  readonly parts: readonly (LoraPart | null)[]
}

export interface LoraResult {
  readonly y: Float64Array
  readonly magnitudes: Float64Array
}

/** Applies an adapter to one row. @param x [in] @param y [sum of outs], the bare projections */
export function loraReference(
  x: Float32Array,
  y: Float32Array,
  outs: readonly number[],
  { parts }: LoraAdapter,
): LoraResult {
  const result = Float64Array.from(y)
  const magnitudes = result.map(Math.abs)
  let start = 0
  outs.forEach((out, projection) => {
    const part = parts[projection]
    if (part) {
      const down = matmulReference(x, part.a, x.length)
      const up = matmulReference(down.y, part.b, part.rank)
      const size = matmulReference(down.magnitudes, part.b.map(Math.abs), part.rank)
      for (let o = 0; o < out; o++) {
        const factor = part.rowScale?.[o] ?? 1
        const bias = part.bias?.[o] ?? 0
        result[start + o] = (y[start + o]! + part.scale * up.y[o]!) * factor + bias
        magnitudes[start + o] =
          (Math.abs(y[start + o]!) + part.scale * size.magnitudes[o]!) * Math.abs(factor) + Math.abs(bias)
      }
    }
    start += out
  })
  return { y: result, magnitudes }
}

/** A random adapter of these ranks (0: not adapted) whose values `dtype` holds exactly. */
export function randomAdapter(
  random: Random,
  dtype: FloatDtype,
  inputs: number,
  outs: readonly number[],
  ranks: readonly number[],
  extras: { readonly rowScale?: boolean; readonly bias?: boolean } = {},
): LoraAdapter {
  const parts = outs.map((out, projection) => {
    const rank = ranks[projection]!
    if (!rank) return null
    return {
      a: encode(random.floats(rank * inputs), dtype).values,
      b: encode(random.floats(out * rank), dtype).values,
      rank,
      scale: 0.25 + random.next(),
      rowScale: extras.rowScale ? random.floats(out, 2) : null,
      bias: extras.bias ? random.floats(out) : null,
    }
  })
  return { dtype, parts }
}

/** Where an adapter sits, and the shape of the table it sits in. */
export interface LoraPlace {
  readonly slot: number
  readonly layer: number
  readonly numLayers: number
  readonly group: number
}

const pad4 = (count: number) => Math.ceil(count / 4) * 4

/** Lays adapters out as the pool does: pages at exact rank padded to 4, and table entries of 32 words. */
export class LoraPages {
  readonly #slab: number[] = [0xdead, 0xdead, 0xdead, 0xdead] // so that no offset is 0
  readonly #table: number[] = []

  add({ dtype, parts }: LoraAdapter, { slot, layer, numLayers, group }: LoraPlace): void {
    const entry = ((slot * numLayers + layer) * 4 + group) * 32
    const inputs = parts.find((part) => part)!.a.length / parts.find((part) => part)!.rank
    const stacked = parts.flatMap((part) => [...(part ? padRows(part.a, inputs) : [])])
    const floats = new Float32Array(1)
    const floatBits = new Uint32Array(floats.buffer)
    while (this.#table.length < entry + 32) this.#table.push(0)
    this.#table[entry] = this.#append(encode(Float32Array.from(stacked), dtype).words)
    this.#table[entry + 1] = stacked.length / inputs
    this.#table[entry + 2] = ['F32', 'F16', 'BF16'].indexOf(dtype)
    let column = 0
    parts.forEach((part, projection) => {
      if (!part) return
      const at = entry + 4 + projection * 8
      floats[0] = part.scale
      this.#table[at] = this.#append(encode(padColumns(part.b, part.rank), dtype).words)
      this.#table[at + 1] = pad4(part.rank)
      this.#table[at + 2] = floatBits[0]!
      this.#table[at + 3] = column
      if (part.rowScale) this.#table[at + 4] = this.#append(encode(part.rowScale, 'F32').words)
      if (part.bias) this.#table[at + 5] = this.#append(encode(part.bias, 'F32').words)
      column += pad4(part.rank)
    })
  }

  get slab(): Uint32Array<ArrayBuffer> {
    return Uint32Array.from(this.#slab)
  }

  /** Slots without an entry of their own read zeros: a rank of 0. */
  table(slots: number, numLayers: number): Uint32Array<ArrayBuffer> {
    const table = new Uint32Array(slots * numLayers * 4 * 32)
    table.set(this.#table)
    return table
  }

  #append(words: Uint32Array): number {
    const offset = this.#slab.length
    for (const word of words) this.#slab.push(word)
    while (this.#slab.length % 4) this.#slab.push(0xdead)
    return offset
  }
}

function padRows(a: Float32Array, inputs: number): Float32Array {
  const padded = new Float32Array(pad4(a.length / inputs) * inputs)
  padded.set(a)
  return padded
}

function padColumns(b: Float32Array, rank: number): Float32Array {
  const width = pad4(rank)
  const padded = new Float32Array((b.length / rank) * width)
  for (let at = 0; at < b.length; at++) padded[Math.floor(at / rank) * width + (at % rank)] = b[at]!
  return padded
}
