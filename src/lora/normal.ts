import type { Projection } from '../model/spec.ts'
import type { FloatDtype } from '../weights/dtype.ts'

/**
 * The normal form of an adapter: what every file format becomes before anything is uploaded. Two files that compute
 * the same thing in the same width have the same normal form and so the same digest, whatever they were called.
 */
export interface NormalAdapter {
  /** SHA-256 (hex) over the normal form: modules in order, shapes, ranks, scales, dtypes and the tensors' bytes. */
  readonly digest: string
  /** Adapted modules, sorted by (layer, projection order). Never empty. */
  readonly modules: readonly LoraModule[]
  /** Largest rank of any module. */
  readonly maxRank: number
  /** Bytes of all A and B tensors as stored. */
  readonly byteLength: number
}

/** y += scale * B (A x), for one projection of one layer. */
export interface LoraModule {
  readonly layer: number
  readonly projection: Projection
  readonly rank: number
  /** alpha / r, or alpha / sqrt(r) with rsLoRA, with the module's own r and alpha. */
  readonly scale: number
  /** [rank, in], row-major. */
  readonly a: LoraTensor
  /** [out, rank], row-major. */
  readonly b: LoraTensor
}

/** A tensor in host memory, little-endian, in the width of the file. */
export interface LoraTensor {
  readonly dtype: FloatDtype
  readonly shape: readonly [number, number]
  readonly bytes: Uint8Array
}
