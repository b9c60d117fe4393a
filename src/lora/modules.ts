/**
 * The modules of a base model by the names PEFT knows them by, and which of them a config targets. The list is that of
 * transformers' `named_modules()`, containers and norms included: an expression that reaches one of those is an error in
 * PEFT, so it has to be seen here too.
 */
import type { NormName } from '../model/adapterTable.ts'
import {
  GROUPS,
  groupModules,
  type ModelSpec,
  PROJECTION_MODULES,
  type Projection,
  placeOfProjection,
} from '../model/spec.ts'
import { AdapterRefusedError, shown } from './errors.ts'
import { endTest, partTest } from './modulePattern.ts'
import { CONFIG_FILE, type PeftConfig } from './peftConfig.ts'
import type { MatchBudget } from './pythonRegex.ts'

export type BaseModule =
  | {
      readonly kind: 'projection'
      readonly path: string
      readonly layer: number
      readonly projection: Projection
    }
  | {
      /** Several projections in one matrix, their outputs side by side. */
      readonly kind: 'fused'
      readonly path: string
      readonly layer: number
      readonly projections: readonly Projection[]
    }
  | { readonly kind: 'norm'; readonly path: string; readonly layer: number | null; readonly norm: NormName }
  | { readonly kind: 'embedding' | 'head'; readonly path: string; readonly layer: null }
  | { readonly kind: 'other'; readonly path: string; readonly layer: number | null }

/** The embedding or the output layer: both have [vocab, hidden] weights. */
export type VocabularyModule = Extract<BaseModule, { kind: 'embedding' | 'head' }>

/** A norm. */
export type NormModule = Extract<BaseModule, { kind: 'norm' }>

/** A linear layer inside the blocks. */
export type ProjectionModule = Extract<BaseModule, { kind: 'projection' }>

/** The same for several. */
export type FusedModule = Extract<BaseModule, { kind: 'fused' }>

/** Path of a projection's module, as tensor names and target_modules spell it where projections are not fused. */
export function projectionPath(layer: number, projection: Projection): string {
  return `model.layers.${layer}.${PROJECTION_MODULES[projection]}`
}

/** Path of the module that a projection of a base is, or is part of. */
export function modulePath(spec: ModelSpec, layer: number, projection: Projection): string {
  return `model.layers.${layer}.${placeOfProjection(spec, projection).module.path}`
}

const NORM_MODULES: Readonly<Record<NormName, string>> = {
  input: 'input_layernorm',
  post: 'post_attention_layernorm',
  q: 'self_attn.q_norm',
  k: 'self_attn.k_norm',
  final: 'norm',
}

/** Path of a norm's module; `layer` is null for the one behind the layers. */
export function normPath(layer: number | null, norm: NormName): string {
  return layer === null ? `model.${NORM_MODULES[norm]}` : `model.layers.${layer}.${NORM_MODULES[norm]}`
}

/** Modules of a layer that hold others or no weights. */
const OTHER_MODULES: Readonly<Record<'llama' | 'phi3', readonly string[]>> = {
  llama: ['', '.self_attn', '.mlp', '.mlp.act_fn'],
  phi3: ['', '.self_attn', '.mlp', '.mlp.activation_fn', '.resid_attn_dropout', '.resid_mlp_dropout'],
}

/** Every module of the base but the model itself, with layers in order. */
export function baseModules(spec: ModelSpec): readonly BaseModule[] {
  const other = (path: string, layer: number | null = null): BaseModule => ({ kind: 'other', path, layer })
  const layers = Array.from({ length: spec.numLayers }, (_, layer): BaseModule[] => {
    const path = `model.layers.${layer}`
    const norm = (name: NormName): BaseModule => ({ kind: 'norm', path: normPath(layer, name), layer, norm: name })
    return [
      ...OTHER_MODULES[spec.family === 'phi3' ? 'phi3' : 'llama'].map((part) => other(path + part, layer)),
      norm('input'),
      norm('post'),
      ...(spec.qkNorm ? [norm('q'), norm('k')] : []),
      ...GROUPS.flatMap((group) => groupModules(spec, group)).map((module): BaseModule => {
        const [projection, ...others] = module.projections
        const place = { path: `${path}.${module.path}`, layer }
        if (others.length > 0) return { kind: 'fused', ...place, projections: module.projections }
        return { kind: 'projection', ...place, projection: projection! }
      }),
    ]
  })
  return [
    other('model'),
    { kind: 'embedding', path: 'model.embed_tokens', layer: null },
    other('model.layers'),
    ...layers.flat(),
    { kind: 'norm', path: normPath(null, 'final'), layer: null, norm: 'final' },
    other('model.rotary_emb'),
    { kind: 'head', path: 'lm_head', layer: null },
  ]
}

/** A module that LoRA can be on, as it is computed. */
export type AdaptableModule = ProjectionModule | VocabularyModule

/** The same as the base has it. */
export type TargetModule = AdaptableModule | FusedModule

/**
 * The modules that `config` adapts in a base of this shape.
 * @throws AdapterRefusedError when that is nothing, or something that LoRA cannot be on
 */
export function targetedModules(spec: ModelSpec, config: PeftConfig, budget: MatchBudget): TargetModule[] {
  // What is saved whole is never adapted, nor is anything inside it.
  const isSaved = partTest(config.modulesToSave)
  const targeted = baseModules(spec).filter((module) => !isSaved(module.path) && isTargeted(config, module, budget))
  const adaptable: TargetModule[] = []
  for (const module of targeted) {
    if (module.kind === 'norm' || module.kind === 'other') throw notAdaptable(module)
    adaptable.push(module)
  }
  if (adaptable.length > 0) return adaptable
  const { targetModules } = config
  const wanted =
    targetModules.kind === 'names'
      ? [...targetModules.names]
      : targetModules.kind === 'regex'
        ? targetModules.pattern
        : 'all-linear'
  const message = `Target modules ${shown(wanted)} not found in the base model. Please check the target modules and try again.`
  throw new AdapterRefusedError('adapter_target_invalid', 'target_modules', message)
}

/** A module that an adapter can replace. */
export type ReplaceableModule = NormModule | VocabularyModule

/**
 * The modules that `config` brings whole. PEFT compares the ends of paths as they are, dots or not.
 * @throws AdapterRefusedError for one that is not a norm, the embedding or the output layer
 */
export function savedModules(spec: ModelSpec, { modulesToSave }: PeftConfig): ReplaceableModule[] {
  const isSaved = endTest(modulesToSave)
  const saved = baseModules(spec).filter(({ path }) => isSaved(path))
  return saved.map((module) => {
    if (module.kind !== 'projection' && module.kind !== 'fused' && module.kind !== 'other') return module
    const message = `${CONFIG_FILE}: modules_to_save reaches ${module.path}; only norms, embed_tokens and lm_head can be replaced.`
    throw new AdapterRefusedError('adapter_unsupported', 'modules_to_save', message)
  })
}

function isTargeted(config: PeftConfig, module: BaseModule, budget: MatchBudget): boolean {
  const { targetModules, excludeModules } = config
  if (excludeModules?.(module.path, budget)) return false
  switch (targetModules.kind) {
    case 'allLinear':
      return module.kind === 'projection' || module.kind === 'fused'
    case 'regex':
      return targetModules.matches(module.path, budget)
    case 'names':
      // A whole path is meant as it is written; only shorter names are narrowed to some layers.
      if (!targetModules.matches(module.path, budget)) return false
      return targetModules.names.has(module.path) || isLayerChosen(config, module)
  }
}

function isLayerChosen({ layersToTransform, layersPattern }: PeftConfig, module: BaseModule): boolean {
  if (layersToTransform === null) return true
  // PEFT finds the layer's number in the path only where more of the path follows it.
  if (module.layer === null || module.path.endsWith(`.${module.layer}`)) return false
  if (layersPattern.length > 0 && !layersPattern.includes('layers')) return false
  return layersToTransform.includes(module.layer)
}

function notAdaptable({ path }: BaseModule): AdapterRefusedError {
  const message = `${CONFIG_FILE}: target_modules reaches ${path}, which is not a linear layer. Name the projections inside it, such as q_proj.`
  return new AdapterRefusedError('adapter_target_invalid', 'target_modules', message)
}
