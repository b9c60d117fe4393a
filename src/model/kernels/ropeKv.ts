/** Host half of rope_kv.wgsl: bias, head norms, rotary positions, and the write into the KV cache. */
import source from '../../../shaders/rope_kv.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import type { GainPlace } from '../adapterTable.ts'
import { type Fold, ONE_FOLD } from '../layerList.ts'
import { type KernelChoice, paramWords } from './choice.ts'
import {
  CACHE_INCLUDES,
  type CacheDtype,
  GAIN_BASE_INCLUDE,
  GAIN_OWN_INCLUDE,
  OWN_GAIN_BINDINGS,
  STEP_INCLUDE,
} from './includes.ts'
import { teamGrid, teamShape } from './team.ts'

const definition: KernelDefinition = {
  name: 'rope_kv',
  source,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'qkv', access: 'write' }, //     [rows, (heads + 2 kvHeads) * headDim]; q is turned in place
    { name: 'vectors', access: 'read' }, //  the biases and gains that params points to
    { name: 'rope', access: 'read' }, //     [positions, headDim / 2] of (cos, sin)
    { name: 'keys', access: 'write' }, //    [slots, kvHeads, headDim]
    { name: 'values', access: 'write' }, //  [slots, kvHeads, headDim]
  ],
}
const ownDefinition: KernelDefinition = { ...definition, bindings: [...definition.bindings, ...OWN_GAIN_BINDINGS] }

export interface RopeKvVariant {
  readonly bias: boolean
  readonly qkNorm: boolean
  /** Rows may have gains of their adapter's; binds its table and slab too. Only with `qkNorm`. Default false. */
  readonly ownGain?: boolean
  /** Element type of the cache. Default F32. */
  readonly cache?: CacheDtype
}

export function ropeKvKernel(can: Capabilities, variant: RopeKvVariant): KernelChoice {
  const { bias, qkNorm, ownGain = false, cache = 'F32' } = variant
  const team = teamShape(can)
  return {
    definition: ownGain ? ownDefinition : definition,
    specialisation: {
      constants: { HAS_BIAS: bias, QK_NORM: qkNorm, ...team.constants },
      includes: {
        step: STEP_INCLUDE,
        team: team.source,
        gain: ownGain ? GAIN_OWN_INCLUDE : GAIN_BASE_INCLUDE,
        ...CACHE_INCLUDES[cache],
      },
    },
  }
}

export interface RopeKvShape {
  readonly heads: number
  readonly kvHeads: number
  /** A multiple of 8. */
  readonly headDim: number
  /** Dimensions of a head that are turned; a multiple of 8. Default all. */
  readonly rotaryDim?: number
  /** Of the q and k norms. */
  readonly eps: number
}

/** Where the vectors begin in `vectors`, in bytes: multiples of 16. What the variant does not read may be anything. */
export interface RopeKvVectors {
  /** [(heads + 2 kvHeads) * headDim] */
  readonly bias: number
  /** [headDim] */
  readonly qGain: number
  /** [headDim] */
  readonly kGain: number
}

/**
 * @param own where the adapters' gains of q are, those of k in the next word; read with `ownGain` only
 * @param fold which of the blocks that a block table names for the same positions
 */
export function ropeKvParams(
  { heads, kvHeads, headDim, rotaryDim = headDim, eps }: RopeKvShape,
  { bias, qGain, kGain }: RopeKvVectors,
  own: GainPlace | null = null,
  { fold, numFolds }: Fold = ONE_FOLD,
): Uint32Array<ArrayBuffer> {
  const vectors = [bias / 16, qGain / 16, kGain / 16] as const
  const gains = [own?.slotWords ?? 0, own?.word ?? 0] as const
  return paramWords(heads, kvHeads, headDim / 8, { f32: eps }, ...vectors, ...gains, fold, numFolds, rotaryDim / 8)
}

export function ropeKvGrid(
  can: Capabilities,
  shape: { readonly heads: number; readonly kvHeads: number },
  rows: number,
): Grid {
  return [teamGrid(can, shape.heads + 2 * shape.kvHeads), rows]
}
