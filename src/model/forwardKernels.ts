/** The kernels that the forward pass needs for a model, compiled together and shared by all its layers. */
import type { Gpu } from '../gpu/gpu.ts'
import type { Kernel } from '../gpu/kernel.ts'
import type { SwitchableKernel } from '../gpu/switchableKernel.ts'
import type { FloatDtype } from '../weights/dtype.ts'
import { type AddNormVariant, addNormKernel } from './kernels/addNorm.ts'
import { attentionKernel, attentionMergeKernel } from './kernels/attention.ts'
import type { KernelChoice } from './kernels/choice.ts'
import { embedKernel } from './kernels/embed.ts'
import type { ActivationDtype, CacheDtype } from './kernels/includes.ts'
import { matmulKernel } from './kernels/matmul.ts'
import { ropeKvKernel } from './kernels/ropeKv.ts'
import { siluMulKernel } from './kernels/siluMul.ts'
import { type KernelTuning, ROW_CLASSES, type RowClass, type RunKind } from './kernels/tuning.ts'
import { GROUPS, type ModelSpec } from './spec.ts'
import type { TunedKernels } from './tunedKernels.ts'
import type { ModelWeights } from './weights.ts'

/** Kernels of every step, whatever adapters it has. */
export interface ForwardKernels extends Readonly<Record<NormStage, Kernel>> {
  readonly embed: Kernel
  readonly ropeKv: Kernel
  readonly attention: Readonly<Record<RunKind, SwitchableKernel>>
  readonly attentionMerge: Kernel
  readonly activation: Kernel
  readonly matmul: ReadonlyMap<FloatDtype, ReadonlyMap<RowClass, SwitchableKernel>>
}

/** Norms by what comes before them. */
export type NormStage = 'first' | 'attn' | 'mlp' | 'final'
const NORM_STAGES: readonly NormStage[] = ['first', 'attn', 'mlp', 'final']

export function normVariants(
  { bias }: ModelSpec,
  activations: ActivationDtype,
): Readonly<Record<NormStage, AddNormVariant>> {
  return {
    first: { add: false, bias: false, gather: false, activations },
    attn: { add: true, bias: bias.mlp, gather: false, activations },
    mlp: { add: true, bias: bias.o, gather: false, activations },
    final: { add: true, bias: bias.mlp, gather: true, activations },
  }
}

/** @throws ShaderError */
export async function compileForward(
  gpu: Gpu,
  spec: ModelSpec,
  weights: ModelWeights,
  { cache, activations }: { readonly cache: CacheDtype; readonly activations: ActivationDtype },
  tuned: TunedKernels,
): Promise<ForwardKernels> {
  const { can } = gpu
  const get = ({ definition, specialisation }: KernelChoice) => gpu.kernel(definition, specialisation)
  const attention = { heads: spec.numHeads, kvHeads: spec.numKvHeads, headDim: spec.headDim }
  const { bias } = spec
  const norms = normVariants(spec, activations)
  const dtypes = new Set([
    weights.lmHead.dtype,
    ...weights.layers.flatMap(({ matrices }) => GROUPS.map((group) => matrices[group].dtype)),
  ])
  const matmul = [...dtypes].map(async (dtype) => {
    const variants = ROW_CLASSES.map(async (rows) => {
      const choose = ({ matmul }: KernelTuning) => matmulKernel(can, dtype, matmul[rows], activations)
      return [rows, await tuned.get(`matmul ${dtype} ${rows}`, choose)] as const
    })
    return [dtype, new Map(await Promise.all(variants))] as const
  })
  const stages = NORM_STAGES.map(async (stage) => {
    const choose = ({ norm }: KernelTuning) => addNormKernel(can, norms[stage], norm)
    return [stage, await tuned.get(`norm ${stage}`, choose)] as const
  })
  const attentionOf = (of: RunKind) =>
    tuned.get(`attention ${of}`, (tuning) =>
      attentionKernel(can, attention, { of, tuning: tuning.attention[of], cache, activations }),
    )
  const single = {
    embed: embedKernel(weights.embed.dtype),
    ropeKv: ropeKvKernel(can, { bias: bias.qkv, qkNorm: spec.qkNorm, cache }),
    attentionMerge: attentionMergeKernel(attention, activations),
    activation: siluMulKernel({ bias: bias.mlp, activations }),
  }
  const compiled = await Promise.all(
    Object.entries(single).map(async ([name, choice]) => [name, await get(choice)] as const),
  )
  return {
    ...(Object.fromEntries(compiled) as Record<keyof typeof single, Kernel>),
    ...(Object.fromEntries<Kernel>(await Promise.all(stages)) as Record<NormStage, Kernel>),
    attention: { runs: await attentionOf('runs'), singles: await attentionOf('singles') },
    matmul: new Map(await Promise.all(matmul)),
  }
}
