/** The slab and the table of some adapters, laid out as the pool lays them out. */
import type { LoraTensor, LoraVector, NormalAdapter } from '../../src/lora/normal.ts'
import { layoutOf, writeEntry } from '../../src/lora/packing.ts'
import { slotWords } from '../../src/model/adapterTable.ts'
import type { ModelSpec } from '../../src/model/spec.ts'
import { FLOAT_BYTES, type FloatDtype } from '../../src/weights/dtype.ts'
import { encode } from './encode.ts'
import { packedBytes } from './packedBytes.ts'

/** Two layers, small odd widths. */
export const PAGES_SPEC = {
  vocabSize: 52,
  hiddenSize: 36,
  intermediateSize: 44,
  numLayers: 2,
  numHeads: 4,
  numKvHeads: 2,
  headDim: 8,
} as ModelSpec

export interface AdapterPages {
  readonly slab: Uint32Array<ArrayBuffer>
  readonly table: Uint32Array<ArrayBuffer>
}

/** Each adapter in the slot of its index; null: an empty slot. */
export function adapterPages(
  adapters: readonly (Partial<NormalAdapter> | null)[],
  spec: ModelSpec = PAGES_SPEC,
): AdapterPages {
  const pages: Uint8Array[] = [new Uint8Array(16)] // so that no offset is 0
  let end = 16
  const table = new Uint32Array(adapters.length * slotWords(spec))
  adapters.forEach((adapter, slot) => {
    const whole = { digest: '', modules: [], maxRank: 0, byteLength: 0, ...adapter }
    const { groups, byteLength } = layoutOf(whole, spec)
    const page = new Uint8Array(byteLength)
    for (const packed of groups) {
      page.set(packedBytes(packed), packed.aOffset)
      writeEntry(table.subarray(slot * slotWords(spec), (slot + 1) * slotWords(spec)), spec, packed, end)
    }
    pages.push(page)
    end += byteLength
  })
  const slab = new Uint8Array(end)
  let at = 0
  for (const page of pages) {
    slab.set(page, at)
    at += page.byteLength
  }
  return { slab: new Uint32Array(slab.buffer), table }
}

/** Values that `dtype` holds exactly, as a tensor and as f32. */
export function exact(
  values: Float32Array,
  dtype: FloatDtype,
  columns: number,
): { readonly tensor: LoraTensor; readonly values: Float32Array } {
  const encoded = encode(values, dtype)
  const bytes = new Uint8Array(encoded.words.buffer, 0, values.length * FLOAT_BYTES[dtype])
  return { tensor: { dtype, shape: [values.length / columns, columns], bytes }, values: encoded.values }
}

export function vector(values: Float32Array): LoraVector {
  return { dtype: 'F32', shape: [values.length], bytes: new Uint8Array(values.slice().buffer) }
}
