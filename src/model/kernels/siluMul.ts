/** Host half of silu_mul.wgsl: the gated activation of the MLP. */
import source from '../../../shaders/silu_mul.wgsl' with { type: 'text' }
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import { type KernelChoice, PLAIN_WORKGROUP, paramWords } from './choice.ts'
import { ACTIVATION_INCLUDES, type ActivationDtype } from './includes.ts'

const definition: KernelDefinition = {
  name: 'silu_mul',
  source,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'gateUp', access: 'read' }, //  [rows, 2 * inter]
    { name: 'bias', access: 'read' }, //    [2 * inter]; read with `bias` only, else bind anything readable
    { name: 'act', access: 'write' }, //    [rows, inter], as activations are stored
  ],
}

/** @param variant.activations of act; default F32 */
export function siluMulKernel(variant: {
  readonly bias: boolean
  readonly activations?: ActivationDtype
}): KernelChoice {
  const { bias, activations = 'F32' } = variant
  return { definition, specialisation: { constants: { HAS_BIAS: bias }, includes: ACTIVATION_INCLUDES[activations] } }
}

export function siluMulParams(inter: number): Uint32Array<ArrayBuffer> {
  return paramWords(inter / 4)
}

export function siluMulGrid(inter: number, rows: number): Grid {
  return [Math.ceil(inter / 4 / PLAIN_WORKGROUP), rows]
}
