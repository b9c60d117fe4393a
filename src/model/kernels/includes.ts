/** Texts that several kernels include: the step's tables, weights by element type, the adapters' table. */
import loraTable from '../../../shaders/lora_table.wgsl' with { type: 'text' }
import step from '../../../shaders/step.wgsl' with { type: 'text' }
import weightsBf16 from '../../../shaders/weights_bf16.wgsl' with { type: 'text' }
import weightsF16 from '../../../shaders/weights_f16.wgsl' with { type: 'text' }
import weightsF32 from '../../../shaders/weights_f32.wgsl' with { type: 'text' }
import type { FloatDtype } from '../../weights/dtype.ts'

export const STEP_INCLUDE: string = step

export const LORA_TABLE_INCLUDE: string = loraTable

export const WEIGHTS_INCLUDE: Readonly<Record<FloatDtype, string>> = {
  F32: weightsF32,
  F16: weightsF16,
  BF16: weightsBf16,
}

/** Constant DTYPE of the kernels that read adapters, and what the adapters' table says of a group. */
export const LORA_DTYPE: Readonly<Record<FloatDtype, number>> = { F32: 0, F16: 1, BF16: 2 }
