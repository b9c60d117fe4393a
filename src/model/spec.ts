/**
 * What the forward pass needs to know about a model, as plain data. `readModelSpec` (config.ts) makes one out of a
 * Hugging Face `config.json`; a family is data plus small switches here, not a class hierarchy.
 */
export type Family = 'llama' | 'mistral' | 'qwen2' | 'qwen3' | 'phi3'

/** Projections of one layer, in the order in which their outputs stand side by side in a group. */
export type Projection = 'q' | 'k' | 'v' | 'o' | 'gate' | 'up' | 'down'

/** Projections that share an input are computed together: one base matmul, one LoRA shrink, one LoRA expand. */
export type Group = 'attn_in' | 'attn_out' | 'mlp_in' | 'mlp_out'

export const GROUPS: readonly Group[] = ['attn_in', 'attn_out', 'mlp_in', 'mlp_out']

export const GROUP_PROJECTIONS: Readonly<Record<Group, readonly Projection[]>> = {
  attn_in: ['q', 'k', 'v'],
  attn_out: ['o'],
  mlp_in: ['gate', 'up'],
  mlp_out: ['down'],
}

export const PROJECTIONS: readonly Projection[] = GROUPS.flatMap((group) => GROUP_PROJECTIONS[group])

/** A linear layer as a checkpoint has it: one projection, or several fused, whose outputs stand side by side. */
export interface LinearModule {
  /** Inside `model.layers.N.`. */
  readonly path: string
  readonly projections: readonly Projection[]
}

/** Module path of each projection inside `model.layers.N.`, as all families name it that do not fuse them. */
export const PROJECTION_MODULES: Readonly<Record<Projection, string>> = {
  q: 'self_attn.q_proj',
  k: 'self_attn.k_proj',
  v: 'self_attn.v_proj',
  o: 'self_attn.o_proj',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
}

/** The groups that Phi-3 keeps in one matrix each. */
const PHI3_MODULES: Partial<Readonly<Record<Group, string>>> = {
  attn_in: 'self_attn.qkv_proj',
  mlp_in: 'mlp.gate_up_proj',
}

/** The linear layers that make up a group, in the order of their outputs. */
export function groupModules({ family }: ModelSpec, group: Group): readonly LinearModule[] {
  const projections = GROUP_PROJECTIONS[group]
  const fused = family === 'phi3' ? PHI3_MODULES[group] : undefined
  if (fused !== undefined) return [{ path: fused, projections }]
  return projections.map((projection) => ({ path: PROJECTION_MODULES[projection], projections: [projection] }))
}

/** Where a projection is among the linear layers: the layer it is or is part of, and its first output there. */
export function placeOfProjection(
  spec: ModelSpec,
  projection: Projection,
): { readonly module: LinearModule; readonly start: number } {
  const modules = GROUPS.flatMap((group) => groupModules(spec, group))
  const module = modules.find(({ projections }) => projections.includes(projection))!
  const before = module.projections.slice(0, module.projections.indexOf(projection))
  return { module, start: before.reduce((sum, each) => sum + projectionShape(spec, each).out, 0) }
}

export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalMaxPositions: number
    }
  /** LongRoPE within the context the model was first trained with: each wavelength has a factor of its own. */
  | {
      readonly type: 'longrope'
      /** [rotaryDim / 2] */
      readonly factors: readonly number[]
      /** What cosines and sines are multiplied by. */
      readonly attentionFactor: number
    }

export interface ModelSpec {
  readonly family: Family
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numLayers: number
  readonly numHeads: number
  /** Key/value heads; divides numHeads. */
  readonly numKvHeads: number
  readonly headDim: number
  /** Dimensions of a head that are turned by the position, from the first; the others stay as they are. */
  readonly rotaryDim: number
  /** max_position_embeddings of the config, in tokens; with LongRoPE the shorter context that it was first trained with. */
  readonly maxPositions: number
  readonly normEps: number
  readonly ropeTheta: number
  readonly ropeScaling: RopeScaling
  /** lm_head shares the embedding matrix. */
  readonly tiedEmbeddings: boolean
  /** Biases in the base model, by projection group member. */
  readonly bias: { readonly qkv: boolean; readonly o: boolean; readonly mlp: boolean }
  /** RMS norm per head on q and k before rope (Qwen3). */
  readonly qkNorm: boolean
  /** Per layer: how many of the last positions a query sees, or null for all of them. */
  readonly slidingWindows: readonly (number | null)[]
}

/** Input and output width of a projection, in elements: its weight is [out, in]. */
export function projectionShape(spec: ModelSpec, projection: Projection): { in: number; out: number } {
  const { hiddenSize, intermediateSize, numHeads, numKvHeads, headDim } = spec
  switch (projection) {
    case 'q':
      return { in: hiddenSize, out: numHeads * headDim }
    case 'k':
    case 'v':
      return { in: hiddenSize, out: numKvHeads * headDim }
    case 'o':
      return { in: numHeads * headDim, out: hiddenSize }
    case 'gate':
    case 'up':
      return { in: hiddenSize, out: intermediateSize }
    case 'down':
      return { in: intermediateSize, out: hiddenSize }
  }
}

/** Input and output width of a whole group: its members' outputs side by side. */
export function groupShape(spec: ModelSpec, group: Group): { in: number; out: number } {
  const shapes = GROUP_PROJECTIONS[group].map((projection) => projectionShape(spec, projection))
  return { in: shapes[0]!.in, out: shapes.reduce((sum, shape) => sum + shape.out, 0) }
}

/** Whether the base has a bias on a projection. */
export function hasBias({ bias }: ModelSpec, projection: Projection): boolean {
  switch (projection) {
    case 'q':
    case 'k':
    case 'v':
      return bias.qkv
    case 'o':
      return bias.o
    case 'gate':
    case 'up':
    case 'down':
      return bias.mlp
  }
}
