/** Texts that several kernels include: the step's tables, weights by element type, norm gains, the adapters' table. */

import cacheF16 from '../../../shaders/cache_f16.wgsl' with { type: 'text' }
import cacheF32 from '../../../shaders/cache_f32.wgsl' with { type: 'text' }
import gainBase from '../../../shaders/gain_base.wgsl' with { type: 'text' }
import gainOwn from '../../../shaders/gain_own.wgsl' with { type: 'text' }
import loraSlab from '../../../shaders/lora_slab.wgsl' with { type: 'text' }
import loraTable from '../../../shaders/lora_table.wgsl' with { type: 'text' }
import registers from '../../../shaders/registers.wgsl' with { type: 'text' }
import step from '../../../shaders/step.wgsl' with { type: 'text' }
import weightsBf16 from '../../../shaders/weights_bf16.wgsl' with { type: 'text' }
import weightsF16 from '../../../shaders/weights_f16.wgsl' with { type: 'text' }
import weightsF32 from '../../../shaders/weights_f32.wgsl' with { type: 'text' }
import type { BindingSpec } from '../../gpu/kernel.ts'
import type { FloatDtype } from '../../weights/dtype.ts'

export const STEP_INCLUDE: string = step

export const REGISTERS_INCLUDE: string = registers

/** Rows of the step, or logits rows: both are cut into tiles. */
export type TileRows = 'rows' | 'logits'

/** Word of the step's header that says where their tiles are. */
export const TILES_WORD: Readonly<Record<TileRows, number>> = { rows: 4, logits: 9 }

/** Norm gains: the base's for every row, or the adapter's for rows whose adapter brings one. */
export const GAIN_BASE_INCLUDE: string = gainBase
export const GAIN_OWN_INCLUDE: string = gainOwn

/** What a kernel binds behind its own seven with the second. */
export const OWN_GAIN_BINDINGS: readonly BindingSpec[] = [
  { name: 'table', access: 'read' },
  { name: 'slab', access: 'read' },
]

export const LORA_TABLE_INCLUDE: string = loraTable

export const LORA_SLAB_INCLUDE: string = loraSlab

export const WEIGHTS_INCLUDE: Readonly<Record<FloatDtype, string>> = {
  F32: weightsF32,
  F16: weightsF16,
  BF16: weightsBf16,
}

/** Element types an adapter may have. */
export const LORA_DTYPES: readonly FloatDtype[] = ['F32', 'F16', 'BF16']

/** Constants of the LoRA kernels: the element types they can meet. */
export function loraDtypeConstants(dtypes: readonly FloatDtype[]): Readonly<Record<string, boolean>> {
  return { HAS_F32: dtypes.includes('F32'), HAS_F16: dtypes.includes('F16'), HAS_BF16: dtypes.includes('BF16') }
}

/** Element types of the KV cache. */
export type CacheDtype = 'F32' | 'F16'

export const CACHE_INCLUDE: Readonly<Record<CacheDtype, string>> = { F32: cacheF32, F16: cacheF16 }
