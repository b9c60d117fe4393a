/**
 * Several adapters at once, each with a weight of its own: y = W x + the sum of weight * scale * B A x, which is what PEFT
 * computes with several active adapters whose scaling is multiplied. The sum is an adapter in normal form like any other:
 * the A of its parts stand below each other, their B side by side with weight and scale folded in as f32, so that one
 * shrink and one expand compute it. Nothing is copied here: a tensor of the sum is made out of its parts' each time it is
 * asked for its bytes, which is when its layer goes to the GPU.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { PROJECTIONS } from '../model/spec.ts'
import { toFloat32 } from '../weights/dtype.ts'
import { AdapterRefusedError } from './errors.ts'
import type { LoraModule, LoraPart, LoraTensor, LoraVector, NormalAdapter, VocabularyChange } from './normal.ts'
import type { HostAdapter } from './packing.ts'

// What a sum takes, for those who have loaded this.
export { gpuBytesOf } from './packing.ts'

/** An adapter of a composition as a request names it. */
export interface AdapterWeight {
  readonly name: string
  /** What its own scale is multiplied by; finite, not 0. */
  readonly scale: number
}

/** The same, found. */
export interface WeightedAdapter extends AdapterWeight {
  readonly adapter: HostAdapter
}

/** A part of one module and what its B is multiplied by besides its own scale. */
interface WeightedPart {
  readonly part: LoraPart
  readonly weight: number
}

/** Changes whenever the same parts would make other bytes. */
const FORMAT = 'lorikeet composition 1'

/**
 * In the order in which they are composed, whatever the order in which they were named: the same sum is one adapter, and
 * has the same bits.
 */
export function inOrder<Each extends { readonly digest: string; readonly scale: number }>(
  terms: readonly Each[],
): Each[] {
  const keyed = terms.map((term) => ({ term, key: `${term.digest} ${term.scale}` }))
  return keyed.sort((one, other) => Number(one.key > other.key) - Number(one.key < other.key)).map(({ term }) => term)
}

/** SHA-256, in hex, over the parts' digests and weights, in their order. */
export function compositionDigest(terms: readonly { readonly digest: string; readonly scale: number }[]): string {
  const lines = terms.map(({ digest, scale }) => `${digest} ${scale}`)
  return bytesToHex(sha256(new TextEncoder().encode([FORMAT, ...lines].join('\n'))))
}

/** For logs and messages. No adapter can be called so: names have no colons. */
export function compositionName(terms: readonly AdapterWeight[]): string {
  return terms.map(({ name, scale }) => `${name}:${scale}`).join('+')
}

/**
 * One adapter alone keeps what it is, with every scale multiplied. Of several, only what is added to a base weight has a
 * sum; what stands in place of something has none.
 * @throws AdapterRefusedError that names an adapter and its kind, or the rank that they have together
 */
export function compose(digest: string, terms: readonly WeightedAdapter[], maxRank: number): NormalAdapter {
  for (const term of terms) refuseKinds(term, terms.length === 1)
  const [only] = terms
  const sum = terms.length === 1 ? scaled(only!) : sumOf(terms)
  const lora = [...sum.modules, ...[sum.embedding, sum.head].flatMap((change) => change?.lora ?? [])]
  const rank = Math.max(0, ...lora.map((part) => part.rank))
  if (rank > maxRank) {
    const names = terms.map(({ name }) => `'${name}'`).join(', ')
    const message = `LoRA rank ${rank}, of ${names} together, is greater than max_lora_rank ${maxRank}.`
    throw new AdapterRefusedError('adapter_rank_too_large', 'lora', message)
  }
  return {
    ...sum,
    digest,
    maxRank: rank,
    byteLength: terms.reduce((bytes, { adapter }) => bytes + adapter.byteLength, 0),
  }
}

type Parts = Omit<NormalAdapter, 'digest' | 'maxRank' | 'byteLength'>

/** What an adapter can have that a weight says nothing about: a word for it, and whether that matters where it is alone. */
interface Kind {
  readonly word: string
  readonly alone: boolean
}

/** All that an adapter consists of; null: it has a sum. */
const KINDS: Readonly<Record<keyof HostAdapter | keyof LoraModule | keyof VocabularyChange, Kind | null>> = {
  ...{ digest: null, modules: null, embedding: null, head: null, maxRank: null, byteLength: null, image: null },
  ...{ layer: null, projection: null, rank: null, scale: null, a: null, b: null, loraBias: null, lora: null },
  norms: { word: 'norms of its own', alone: true },
  bias: { word: 'biases of its own', alone: true },
  rows: { word: 'rows of the embedding or the output layer of its own', alone: true },
  // PEFT's depends on the order in which they are active: it scales what was added before it.
  magnitude: { word: 'DoRA', alone: false },
  invocation: { word: 'an invocation', alone: false },
  layers: { word: 'layers of its own', alone: false },
}

/** @throws AdapterRefusedError for an adapter that does more than its weight can say */
function refuseKinds({ name, adapter }: WeightedAdapter, isAlone: boolean): void {
  const changes = [adapter.embedding ?? {}, adapter.head ?? {}]
  const parts = [...adapter.modules, ...changes.flatMap(({ lora }) => lora ?? [])]
  const fields = new Set([adapter, ...changes, ...parts].flatMap((each) => Object.keys(each) as (keyof typeof KINDS)[]))
  const kind = [...fields].map((field) => KINDS[field]).find((each) => each && (each.alone || !isAlone))
  if (!kind) return
  const why = kind.alone
    ? 'which no scale applies to; it can only be used alone, with scale 1'
    : 'which has no sum with others; it can only be used alone'
  throw new AdapterRefusedError('adapter_unsupported', 'lora', `The lora adapter '${name}' has ${kind.word}, ${why}.`)
}

function loraOf(change: VocabularyChange | undefined): readonly LoraPart[] {
  return change?.lora ? [change.lora] : []
}

function scaled({ adapter, scale: weight }: WeightedAdapter): Parts {
  const { modules, embedding, head, image: _, ...rest } = adapter
  const times = <Part extends LoraPart>(part: Part): Part => ({ ...part, scale: part.scale * weight })
  return {
    ...rest,
    modules: modules.map(times),
    ...(embedding?.lora && { embedding: { lora: times(embedding.lora) } }),
    ...(head?.lora && { head: { lora: times(head.lora) } }),
  }
}

function sumOf(terms: readonly WeightedAdapter[]): Parts {
  const places = new Map<string, { readonly at: LoraModule; readonly parts: WeightedPart[] }>()
  for (const { adapter, scale: weight } of terms) {
    for (const part of adapter.modules) {
      const key = `${part.layer} ${part.projection}`
      const place = places.get(key)
      if (place) place.parts.push({ part, weight })
      else places.set(key, { at: part, parts: [{ part, weight }] })
    }
  }
  const modules = [...places.values()].map(({ at: { layer, projection }, parts }): LoraModule => {
    return { layer, projection, ...sumOfParts(parts) }
  })
  modules.sort(
    (one, other) =>
      one.layer - other.layer || PROJECTIONS.indexOf(one.projection) - PROJECTIONS.indexOf(other.projection),
  )
  const embedding = sumOfChanges(terms, 'embedding')
  const head = sumOfChanges(terms, 'head')
  return { modules, ...(embedding && { embedding }), ...(head && { head }) }
}

function sumOfChanges(terms: readonly WeightedAdapter[], side: 'embedding' | 'head'): VocabularyChange | null {
  const parts = terms.flatMap(({ adapter, scale: weight }) => loraOf(adapter[side]).map((part) => ({ part, weight })))
  return parts.length > 0 ? { lora: sumOfParts(parts) } : null
}

/** Where only one of them has a module, that stays as it is, in its own width. */
function sumOfParts(parts: readonly WeightedPart[]): LoraPart {
  const [first] = parts
  if (parts.length === 1) return { ...first!.part, scale: first!.part.scale * first!.weight }
  const rank = parts.reduce((sum, { part }) => sum + part.rank, 0)
  const [inputs, outputs] = [first!.part.a.shape[1], first!.part.b.shape[0]]
  const hasBias = parts.some(({ part }) => part.loraBias)
  return {
    rank,
    scale: 1,
    a: madeWhenAsked([rank, inputs], () => stackedA(parts, rank * inputs)),
    b: madeWhenAsked([outputs, rank], () => joinedB(parts, outputs, rank)),
    ...(hasBias && { loraBias: sumOfBiases(parts, outputs) }),
  }
}

/** [sum of ranks, in] */
function stackedA(parts: readonly WeightedPart[], length: number): Float32Array<ArrayBuffer> {
  const sum = new Float32Array(length)
  let at = 0
  for (const { part } of parts) {
    const rows = toFloat32(part.a.bytes, part.a.dtype)
    sum.set(rows, at)
    at += rows.length
  }
  return sum
}

/** [out, sum of ranks], each part's columns times its weight and scale: rounded once, to f32. */
function joinedB(parts: readonly WeightedPart[], outputs: number, rank: number): Float32Array<ArrayBuffer> {
  const sum = new Float32Array(outputs * rank)
  let column = 0
  for (const { part, weight } of parts) {
    const factor = part.scale * weight
    const values = toFloat32(part.b.bytes, part.b.dtype)
    for (let row = 0, from = 0; row < outputs; row++) {
      const to = row * rank + column
      for (let r = 0; r < part.rank; r++, from++) sum[to + r] = factor * values[from]!
    }
    column += part.rank
  }
  return sum
}

function sumOfBiases(parts: readonly WeightedPart[], outputs: number): LoraVector {
  const sum = new Float32Array(outputs)
  for (const { part, weight } of parts) {
    if (!part.loraBias) continue
    const factor = part.scale * weight
    for (const [o, value] of toFloat32(part.loraBias.bytes, part.loraBias.dtype).entries()) sum[o]! += factor * value
  }
  return { dtype: 'F32', shape: [outputs], bytes: new Uint8Array(sum.buffer) }
}

function madeWhenAsked(shape: LoraTensor['shape'], make: () => Float32Array<ArrayBuffer>): LoraTensor {
  return {
    dtype: 'F32',
    shape,
    get bytes(): Uint8Array {
      return new Uint8Array(make().buffer)
    },
  }
}
