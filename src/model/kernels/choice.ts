/**
 * What every kernel twin hands out: a definition with the specialisation that fits a device and a model, ready for
 * `gpu.kernel(definition, specialisation)`; and the words of a kernel's `params` uniform.
 */
import type { KernelDefinition, Specialisation } from '../../gpu/kernel.ts'

export interface KernelChoice {
  readonly definition: KernelDefinition
  readonly specialisation: Specialisation
}

/** A field of a params struct: a u32, or an f32 marked as such. */
export type ParamField = number | { readonly f32: number }

/** Packs fields in the order of the WGSL struct, padded to whole 16 bytes as uniform buffers want it. */
export function paramWords(...fields: readonly ParamField[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(fields.length / 4) * 4)
  const floats = new Float32Array(words.buffer)
  fields.forEach((field, i) => {
    if (typeof field === 'number') words[i] = field
    else floats[i] = field.f32
  })
  return words
}

/** Invocations of a workgroup in kernels that need no team. */
export const PLAIN_WORKGROUP = 32
