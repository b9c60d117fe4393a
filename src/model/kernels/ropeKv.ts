/** Host half of rope_kv.wgsl: bias, head norms, rotary positions, and the write into the KV cache. */
import source from '../../../shaders/rope_kv.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import { type KernelChoice, paramWords } from './choice.ts'
import { STEP_INCLUDE } from './includes.ts'
import { teamGrid, teamShape } from './team.ts'

const definition: KernelDefinition = {
  name: 'rope_kv',
  source,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'qkv', access: 'write' }, //     [rows, (heads + 2 kvHeads) * headDim]; q is turned in place
    { name: 'bias', access: 'read' }, //     [(heads + 2 kvHeads) * headDim]; read with `bias` only
    { name: 'qGain', access: 'read' }, //    [headDim]; read with `qkNorm` only
    { name: 'kGain', access: 'read' }, //    [headDim]; read with `qkNorm` only
    { name: 'rope', access: 'read' }, //     [positions, headDim / 2] of (cos, sin)
    { name: 'keys', access: 'write' }, //    [slots, kvHeads, headDim]
    { name: 'values', access: 'write' }, //  [slots, kvHeads, headDim]
  ],
}

export function ropeKvKernel(
  can: Capabilities,
  variant: { readonly bias: boolean; readonly qkNorm: boolean },
): KernelChoice {
  const team = teamShape(can)
  return {
    definition,
    specialisation: {
      constants: { HAS_BIAS: variant.bias, QK_NORM: variant.qkNorm, ...team.constants },
      includes: { step: STEP_INCLUDE, team: team.source },
    },
  }
}

export interface RopeKvShape {
  readonly heads: number
  readonly kvHeads: number
  /** A multiple of 8. */
  readonly headDim: number
  /** Of the q and k norms. */
  readonly eps: number
}

export function ropeKvParams({ heads, kvHeads, headDim, eps }: RopeKvShape): Uint32Array<ArrayBuffer> {
  return paramWords(heads, kvHeads, headDim / 8, { f32: eps })
}

export function ropeKvGrid(
  can: Capabilities,
  shape: { readonly heads: number; readonly kvHeads: number },
  rows: number,
): Grid {
  return [teamGrid(can, shape.heads + 2 * shape.kvHeads), rows]
}
