/** Texts that several kernels include: the step's tables, element types, norm gains, the adapters' table. */

import activationsF16 from '../../../shaders/activations_f16.wgsl' with { type: 'text' }
import activationsF32 from '../../../shaders/activations_f32.wgsl' with { type: 'text' }
import cacheF16 from '../../../shaders/cache_f16.wgsl' with { type: 'text' }
import cacheF32 from '../../../shaders/cache_f32.wgsl' with { type: 'text' }
import gainBase from '../../../shaders/gain_base.wgsl' with { type: 'text' }
import gainOwn from '../../../shaders/gain_own.wgsl' with { type: 'text' }
import halves from '../../../shaders/halves.wgsl' with { type: 'text' }
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

/** Element types of what projections read: normed rows, attention's output, the MLP's gated activation. */
export type ActivationDtype = 'F32' | 'F16'

type Includes = Readonly<Record<string, string>>

/** For kernels that include "cache". */
export const CACHE_INCLUDES: Readonly<Record<CacheDtype, Includes>> = {
  F32: { cache: cacheF32 },
  F16: { cache: cacheF16, halves },
}

/** For kernels that include "activations". */
export const ACTIVATION_INCLUDES: Readonly<Record<ActivationDtype, Includes>> = {
  F32: { activations: activationsF32 },
  F16: { activations: activationsF16, halves },
}
