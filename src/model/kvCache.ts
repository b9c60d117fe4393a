/**
 * The paged KV cache: static buffers, one pair per layer (so that a dispatch binds one layer's), holding blocks of
 * BLOCK_SIZE tokens. Which block belongs to which sequence is the engine's business.
 */
import type { Gpu } from '../gpu/gpu.ts'
import type { Tracked } from '../gpu/ledger.ts'
import { FLOAT_BYTES } from '../weights/dtype.ts'
import type { CacheDtype } from './kernels/includes.ts'
import type { ModelSpec } from './spec.ts'

/** Tokens per block. The attention kernels are compiled for it. */
export const BLOCK_SIZE = 16

export interface KvCache {
  readonly dtype: CacheDtype
  readonly numBlocks: number
  /** Per layer: [numBlocks * BLOCK_SIZE, numKvHeads, headDim] each. */
  readonly layers: readonly { readonly keys: Tracked; readonly values: Tracked }[]
}

/** Bytes of one block over all layers, keys and values. */
export function kvBlockBytes(spec: ModelSpec, dtype: CacheDtype = 'F32'): number {
  return spec.numLayers * 2 * BLOCK_SIZE * spec.numKvHeads * spec.headDim * FLOAT_BYTES[dtype]
}

/** Blocks that fit `budgetBytes`, bounded by what one binding can hold. */
export function kvBlocksWithin(gpu: Gpu, spec: ModelSpec, dtype: CacheDtype, budgetBytes: number): number {
  const perLayer = kvBlockBytes(spec, dtype) / spec.numLayers / 2
  return Math.floor(Math.min(budgetBytes / kvBlockBytes(spec, dtype), gpu.can.maxBindingBytes / perLayer))
}

/** @throws GpuOutOfMemoryError, with nothing left allocated. */
export async function allocateKvCache(
  gpu: Gpu,
  spec: ModelSpec,
  dtype: CacheDtype,
  numBlocks: number,
): Promise<KvCache> {
  const byteLength = (kvBlockBytes(spec, dtype) / spec.numLayers / 2) * numBlocks
  const buffers = await gpu.allocateAll(
    Array.from({ length: spec.numLayers * 2 }, (_, i) => ({
      label: `layer ${i >> 1} ${i % 2 ? 'values' : 'keys'}`,
      purpose: 'kv' as const,
      byteLength,
    })),
  )
  const layers = Array.from({ length: spec.numLayers }, (_, layer) => ({
    keys: buffers[layer * 2]!,
    values: buffers[layer * 2 + 1]!,
  }))
  return { dtype, numBlocks, layers }
}
