/**
 * What an adapter will be, before the first byte of its tensors is read: which tensors belong to which module of the
 * base, checked against the base and each other. readPlan.ts reads it.
 */
import type { LayerList } from '../model/layerList.ts'
import { type ModelSpec, projectionShape } from '../model/spec.ts'
import { FLOAT_BYTES } from '../weights/dtype.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import { type AdapterRefusedError, shown, tensorRefusal } from './errors.ts'
import type { AdaptableModule, NormModule, TargetModule, VocabularyModule } from './modules.ts'

export interface AdapterPlan {
  /** See NormalAdapter. */
  readonly layers?: LayerList | null
  /** In the order of the normal form. */
  readonly modules: readonly ModulePlan[]
  readonly norms?: readonly NormPlan[]
  readonly rows?: readonly RowsPlan[]
  /** Weights of the base that came with the adapter. */
  readonly baseWeights?: readonly BaseWeightPlan[]
  /** See NormalAdapter. */
  readonly invocation?: readonly number[] | null
}

/** LoRA, or a bias alone, on one module. */
export interface ModulePlan<Module extends TargetModule = AdaptableModule> {
  readonly module: Module
  readonly rank: number
  /** Where the rank was said, for messages: `r of adapter_config.json`. */
  readonly rankSaidBy: string
  readonly scale: number
  /** [rank, in] and [out, rank]; null where the adapter only brings a bias (the rank is 0). */
  readonly lora: { readonly a: TensorInfo; readonly b: TensorInfo } | null
  /** [out] each. */
  readonly vectors?: {
    readonly magnitude?: TensorInfo | undefined
    readonly bias?: TensorInfo | undefined
    readonly loraBias?: TensorInfo | undefined
  }
}

/** The gain of a norm. */
export interface NormPlan {
  readonly module: NormModule
  readonly gain: TensorInfo
}

/** Rows of the embedding or the output layer. */
export interface RowsPlan {
  readonly module: VocabularyModule
  /** In the order of the matrix's rows; null: all. */
  readonly tokens: readonly number[] | null
  readonly matrix: TensorInfo
  /** Left out where they turn out to be the base's own. */
  readonly mayBeBase?: boolean
}

/** PEFT saves the base's own weight beside LoRA on the embedding or the output layer, and loads it again. */
export interface BaseWeightPlan {
  readonly module: VocabularyModule
  readonly weight: TensorInfo
}

/**
 * Width of the weight that LoRA is on: A is [rank, in], B is [out, rank]. The embedding takes a token, one of `in`, to
 * a row.
 */
export function weightShape(spec: ModelSpec, module: TargetModule): { readonly in: number; readonly out: number } {
  const { vocabSize, hiddenSize } = spec
  switch (module.kind) {
    case 'projection':
      return projectionShape(spec, module.projection)
    case 'fused': {
      const shapes = module.projections.map((projection) => projectionShape(spec, projection))
      return { in: shapes[0]!.in, out: shapes.reduce((sum, shape) => sum + shape.out, 0) }
    }
    case 'embedding':
      return { in: vocabSize, out: hiddenSize }
    case 'head':
      return { in: hiddenSize, out: vocabSize }
  }
}

/** @throws AdapterRefusedError when the tensors do not fit the base, each other, or the rank that was said */
export function checkPlan(spec: ModelSpec, plan: ModulePlan<TargetModule>): void {
  const { module, rank, rankSaidBy, lora } = plan
  const shape = weightShape(spec, module)
  for (const vector of vectorsOf(plan)) checkTensor(vector, [shape.out])
  if (!lora) return
  const { a, b } = lora
  for (const tensor of [a, b]) checkDtype(tensor)
  if (a.shape.length !== 2 || a.shape[1] !== shape.in) throw wrongShape(a, `[${rank}, ${shape.in}]`)
  if (b.shape.length !== 2 || b.shape[0] !== shape.out) throw wrongShape(b, `[${shape.out}, ${rank}]`)
  if (b.shape[1] !== a.shape[0]) {
    const message = `${module.path}: A has ${a.shape[0]} rows, B has ${b.shape[1]} columns; both are the rank.`
    throw tensorRefusal('adapter_rank_mismatch', b.name, message)
  }
  if (a.shape[0] !== rank) {
    const message = `Tensor ${shown(a.name)} has rank ${a.shape[0]}, but ${rankSaidBy} gives ${module.path} rank ${rank}.`
    throw tensorRefusal('adapter_rank_mismatch', a.name, message)
  }
}

/** @throws AdapterRefusedError when a tensor is not what its place in the base needs */
export function checkTensor(tensor: TensorInfo, shape: readonly number[]): void {
  checkDtype(tensor)
  const fits = tensor.shape.length === shape.length && shape.every((size, i) => tensor.shape[i] === size)
  if (!fits) throw wrongShape(tensor, `[${shape.join(', ')}]`)
}

/** Every tensor that the normal form will hold. */
export function tensorsOf({ modules, norms = [], rows = [] }: AdapterPlan): readonly TensorInfo[] {
  return [
    ...modules.flatMap((plan) => [...(plan.lora ? [plan.lora.a, plan.lora.b] : []), ...vectorsOf(plan)]),
    ...norms.map(({ gain }) => gain),
    ...rows.map(({ matrix }) => matrix),
  ]
}

/** The error for a shape that only another base can want. */
export function wrongShape(tensor: TensorInfo, wanted: string): AdapterRefusedError {
  const message = `Tensor ${shown(tensor.name)} is [${tensor.shape.join(', ')}], this base needs ${wanted}. Was the adapter made for another base?`
  return tensorRefusal('adapter_shape_mismatch', tensor.name, message)
}

function vectorsOf({ vectors = {} }: Pick<ModulePlan, 'vectors'>): readonly TensorInfo[] {
  return Object.values(vectors).filter((vector) => vector !== undefined)
}

function checkDtype({ name, dtype }: TensorInfo): void {
  if (Object.hasOwn(FLOAT_BYTES, dtype)) return
  const message = `Tensor ${shown(name)} is ${dtype}; adapters are F32, F16 or BF16.`
  throw tensorRefusal('adapter_dtype_unsupported', name, message)
}
