import type { NormName } from '../model/adapterTable.ts'
import type { LayerList } from '../model/layerList.ts'
import type { Projection } from '../model/spec.ts'
import type { FloatDtype } from '../weights/dtype.ts'

/**
 * The normal form of an adapter: what every file format becomes before anything is uploaded. Two files that compute
 * the same thing in the same width have the same normal form and so the same digest, whatever they were called.
 */
export interface NormalAdapter {
  /** SHA-256 (hex) over the normal form: modules in order, shapes, ranks, scales, dtypes and the tensors' bytes. */
  readonly digest: string
  /** The layers it runs, where they are not the base's. Wherever else a layer is named, it is a place in this list. */
  readonly layers?: LayerList
  /** Adapted linear layers of the blocks, sorted by (layer, projection order). */
  readonly modules: readonly LoraModule[]
  /** Norm gains in place of the base's, in the order of PEFT's module list. */
  readonly norms?: readonly OwnNorm[]
  /** What is changed of the embedding, which maps a token to a row of [vocab, hidden]. */
  readonly embedding?: VocabularyChange
  /** What is changed of the output layer, whose weight is [vocab, hidden]. */
  readonly head?: VocabularyChange
  /** Activated LoRA: it works from the last occurrence of these tokens in a prompt on, and not at all without one. */
  readonly invocation?: readonly number[]
  /** Largest rank of any module. */
  readonly maxRank: number
  /** Bytes of all tensors in their files. */
  readonly byteLength: number
}

/**
 * One projection of one layer: y = (W x + scale * B A x) * magnitude / norm + bias + scale * loraBias, of which most
 * adapters have only A and B. The norm is that of each row of W + scale * B A (DoRA).
 */
export interface LoraModule extends LoraPart {
  readonly layer: number
  readonly projection: Projection
}

/** What LoRA and its kinds add to one weight [out, in]. */
export interface LoraPart {
  /** 0 where the adapter only brings a bias. */
  readonly rank: number
  /** alpha / r, or alpha / sqrt(r) with rsLoRA, with the module's own r and alpha. */
  readonly scale: number
  /** [rank, in], row-major. */
  readonly a: LoraTensor
  /** [out, rank], row-major. */
  readonly b: LoraTensor
  /** DoRA: the length that each row of the adapted weight is brought to, [out]. */
  readonly magnitude?: LoraVector
  /** In place of the base's bias, [out]. */
  readonly bias?: LoraVector
  /** A bias of B, [out]: scaled like B A x. */
  readonly loraBias?: LoraVector
}

/** The gain of an RMS norm. */
export interface OwnNorm {
  /** Null for the norm behind the layers. */
  readonly layer: number | null
  readonly norm: NormName
  /** [hidden], or [headDim] for q and k. */
  readonly gain: LoraVector
}

/** One of the two. */
export interface VocabularyChange {
  /**
   * LoRA: A is [rank, vocab] for the embedding and [rank, hidden] for the output layer, B is [hidden, rank] and
   * [vocab, rank]. The embedding's magnitude is [hidden], one for each of its columns.
   */
  readonly lora?: LoraPart
  readonly rows?: OwnRows
}

/** Rows in place of the base's. */
export interface OwnRows {
  /** The tokens they are for, ascending; null: one row for every token. */
  readonly tokens: readonly number[] | null
  /** [tokens, hidden] */
  readonly matrix: LoraTensor
}

/** A tensor in host memory, little-endian, in the width of the file. */
export interface LoraTensor {
  readonly dtype: FloatDtype
  readonly shape: readonly [number, number]
  /** May be made anew each time it is asked for. */
  readonly bytes: Uint8Array
}

/** The same with one dimension. */
export interface LoraVector {
  readonly dtype: FloatDtype
  readonly shape: readonly [number]
  readonly bytes: Uint8Array
}
