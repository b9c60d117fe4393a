import type { Projection } from '../model/spec.ts'
import type { FloatDtype } from '../weights/dtype.ts'

/**
 * The normal form of an adapter: what every file format becomes before anything is uploaded. Two files that compute
 * the same thing in the same width have the same normal form and so the same digest, whatever they were called.
 */
export interface NormalAdapter {
  /** SHA-256 (hex) over the normal form: modules in order, shapes, ranks, scales, dtypes and the tensors' bytes. */
  readonly digest: string
  /** Adapted linear layers of the blocks, sorted by (layer, projection order). */
  readonly modules: readonly LoraModule[]
  /** Largest rank of any module. */
  readonly maxRank: number
  /** Bytes of all tensors as stored. */
  readonly byteLength: number
}

/**
 * One projection of one layer: y = (W x + scale * B A x) * magnitude / norm + bias + scale * loraBias, of which most
 * adapters have only A and B. The norm is that of each row of W + scale * B A (DoRA).
 */
export interface LoraModule {
  readonly layer: number
  readonly projection: Projection
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

/** A tensor in host memory, little-endian, in the width of the file. */
export interface LoraTensor {
  readonly dtype: FloatDtype
  readonly shape: readonly [number, number]
  readonly bytes: Uint8Array
}

/** The same with one dimension. */
export interface LoraVector {
  readonly dtype: FloatDtype
  readonly shape: readonly [number]
  readonly bytes: Uint8Array
}
