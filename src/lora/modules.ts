/**
 * The modules of a base model by the names PEFT knows them by, and which of them a config targets. The list is that of
 * transformers' `named_modules()`, containers and norms included: an expression that reaches one of those is an error in
 * PEFT, so it has to be seen here too.
 */
import { type ModelSpec, PROJECTION_MODULES, PROJECTIONS, type Projection } from '../model/spec.ts'
import { AdapterRefusedError, shown } from './errors.ts'
import { CONFIG_FILE, type PeftConfig } from './peftConfig.ts'
import type { MatchBudget } from './pythonRegex.ts'

export type BaseModule =
  | {
      readonly kind: 'projection'
      readonly path: string
      readonly layer: number
      readonly projection: Projection
    }
  | { readonly kind: 'embedding' | 'head' | 'other'; readonly path: string; readonly layer: number | null }

/** A linear layer inside the blocks. */
export type ProjectionModule = Extract<BaseModule, { kind: 'projection' }>

/** Path of a projection's module in all four families, as tensor names and target_modules spell it. */
export function projectionPath(layer: number, projection: Projection): string {
  return `model.layers.${layer}.${PROJECTION_MODULES[projection]}`
}

/** Every module of the base but the model itself, with layers in order. */
export function baseModules(spec: ModelSpec): readonly BaseModule[] {
  const other = (path: string, layer: number | null = null): BaseModule => ({ kind: 'other', path, layer })
  const layers = Array.from({ length: spec.numLayers }, (_, layer): BaseModule[] => {
    const parts = ['', '.self_attn', '.mlp', '.mlp.act_fn', '.input_layernorm', '.post_attention_layernorm']
    if (spec.qkNorm) parts.push('.self_attn.q_norm', '.self_attn.k_norm')
    return [
      ...parts.map((part) => other(`model.layers.${layer}${part}`, layer)),
      ...PROJECTIONS.map(
        (projection): BaseModule => ({
          kind: 'projection',
          path: projectionPath(layer, projection),
          layer,
          projection,
        }),
      ),
    ]
  })
  return [
    other('model'),
    { kind: 'embedding', path: 'model.embed_tokens', layer: null },
    other('model.layers'),
    ...layers.flat(),
    other('model.norm'),
    other('model.rotary_emb'),
    { kind: 'head', path: 'lm_head', layer: null },
  ]
}

/**
 * The projections that `config` adapts in a base of this shape.
 * @throws AdapterRefusedError when that is nothing, or something that is not a linear layer of a block
 */
export function targetedProjections(spec: ModelSpec, config: PeftConfig, budget: MatchBudget): ProjectionModule[] {
  const targeted = baseModules(spec).filter((module) => isTargeted(config, module, budget))
  const projections: ProjectionModule[] = []
  for (const module of targeted) {
    if (module.kind === 'projection') projections.push(module)
    else throw notAdaptable(module)
  }
  if (projections.length > 0) return projections
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

function isTargeted(config: PeftConfig, module: BaseModule, budget: MatchBudget): boolean {
  const { targetModules, excludeModules } = config
  if (excludeModules?.(module.path, budget)) return false
  switch (targetModules.kind) {
    case 'allLinear':
      return module.kind === 'projection'
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

function notAdaptable(module: BaseModule): AdapterRefusedError {
  if (module.kind === 'other') {
    const message = `${CONFIG_FILE}: target_modules reaches ${module.path}, which is not a linear layer. Name the projections inside it, such as q_proj.`
    return new AdapterRefusedError('adapter_target_invalid', 'target_modules', message)
  }
  const message = `${CONFIG_FILE}: target_modules reaches ${module.path}; LoRA on the embedding or on lm_head is not supported yet.`
  return new AdapterRefusedError('adapter_unsupported', 'target_modules', message)
}
