/** Host half of add_norm.wgsl: residual addition and RMS norm in one pass over a row. */
import source from '../../../shaders/add_norm.wgsl' with { type: 'text' }
import type { Capabilities } from '../../gpu/capabilities.ts'
import type { Grid, KernelDefinition } from '../../gpu/kernel.ts'
import type { GainPlace } from '../adapterTable.ts'
import { type KernelChoice, paramWords } from './choice.ts'
import {
  ACTIVATION_INCLUDES,
  type ActivationDtype,
  GAIN_BASE_INCLUDE,
  GAIN_OWN_INCLUDE,
  OWN_GAIN_BINDINGS,
  STEP_INCLUDE,
} from './includes.ts'
import { teamGrid, teamShape } from './team.ts'
import { defaultTuning, type KernelTuning } from './tuning.ts'

const definition: KernelDefinition = {
  name: 'add_norm',
  source,
  bindings: [
    { name: 'params', access: 'uniform' },
    { name: 'step', access: 'read' },
    { name: 'gain', access: 'read' }, //       [hidden]
    { name: 'delta', access: 'read' }, //      [rows, hidden]; read with `add` only
    { name: 'bias', access: 'read' }, //       [hidden]; read with `bias` only
    { name: 'residual', access: 'write' }, //  [rows, hidden]; written with `add` only
    { name: 'normed', access: 'write' }, //    [rows, hidden], or [logits rows, hidden] with `gather`
  ],
}
const ownDefinition: KernelDefinition = { ...definition, bindings: [...definition.bindings, ...OWN_GAIN_BINDINGS] }

export interface AddNormVariant {
  /** residual += delta before the norm. Without it, bind anything readable (such as `gain`) to `delta`. */
  readonly add: boolean
  /** residual += delta + bias. Without it, bind anything readable to `bias`. */
  readonly bias: boolean
  /** Norm the logits rows only, into compact rows: the final norm. With `add`, only their residuals are written. */
  readonly gather: boolean
  /** Rows may have a gain of their adapter's; binds its table and slab too. Default false. */
  readonly ownGain?: boolean
  /** Of `normed`. Default F32. */
  readonly activations?: ActivationDtype
}

export function addNormKernel(
  can: Capabilities,
  variant: AddNormVariant,
  { loads }: KernelTuning['norm'] = defaultTuning(can).norm,
): KernelChoice {
  const { add, bias, gather, ownGain = false, activations = 'F32' } = variant
  const team = teamShape(can)
  return {
    definition: ownGain ? ownDefinition : definition,
    specialisation: {
      constants: { ADD: add, HAS_BIAS: bias, GATHER: gather, LOADS: loads, ...team.constants },
      includes: {
        step: STEP_INCLUDE,
        team: team.source,
        gain: ownGain ? GAIN_OWN_INCLUDE : GAIN_BASE_INCLUDE,
        ...ACTIVATION_INCLUDES[activations],
      },
    },
  }
}

/** @param own where the adapters' gains are; read with `ownGain` only */
export function addNormParams(
  shape: { readonly hidden: number; readonly eps: number },
  own: GainPlace | null = null,
): Uint32Array<ArrayBuffer> {
  return paramWords(shape.hidden / 4, { f32: shape.eps }, own?.slotWords ?? 0, own?.word ?? 0)
}

/** @param rows rows of `normed`: the step's rows, or its logits rows with `gather`. */
export function addNormGrid(can: Capabilities, rows: number): Grid {
  return [teamGrid(can, rows)]
}
