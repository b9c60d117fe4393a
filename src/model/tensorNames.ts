/** Names and shapes of the tensors a model consists of. All families name them alike, but for the projections that one fuses. */
import { GROUPS, groupModules, hasBias, type ModelSpec, projectionShape } from './spec.ts'

export const EMBEDDING: string = 'model.embed_tokens.weight'
export const FINAL_NORM: string = 'model.norm.weight'
export const LM_HEAD: string = 'lm_head.weight'

/** Everything in front of a layer's own module names. */
export function layerPrefix(layer: number): string {
  return `model.layers.${layer}.`
}

/** Name to shape of every tensor the forward pass reads. Matrices are [out, in]; a tied model has no lm_head. */
export function expectedTensors(spec: ModelSpec): ReadonlyMap<string, readonly number[]> {
  const { vocabSize, hiddenSize } = spec
  const shapes = new Map<string, readonly number[]>([[EMBEDDING, [vocabSize, hiddenSize]]])
  for (let layer = 0; layer < spec.numLayers; layer++) {
    for (const [name, shape] of layerTensors(spec)) shapes.set(layerPrefix(layer) + name, shape)
  }
  shapes.set(FINAL_NORM, [hiddenSize])
  if (!spec.tiedEmbeddings) shapes.set(LM_HEAD, [vocabSize, hiddenSize])
  return shapes
}

function layerTensors(spec: ModelSpec): [name: string, shape: readonly number[]][] {
  const tensors: [string, readonly number[]][] = [['input_layernorm.weight', [spec.hiddenSize]]]
  for (const { path, projections } of GROUPS.flatMap((group) => groupModules(spec, group))) {
    const shapes = projections.map((projection) => projectionShape(spec, projection))
    const out = shapes.reduce((sum, shape) => sum + shape.out, 0)
    tensors.push([`${path}.weight`, [out, shapes[0]!.in]])
    if (hasBias(spec, projections[0]!)) tensors.push([`${path}.bias`, [out]])
  }
  if (spec.qkNorm) {
    tensors.push(['self_attn.q_norm.weight', [spec.headDim]], ['self_attn.k_norm.weight', [spec.headDim]])
  }
  tensors.push(['post_attention_layernorm.weight', [spec.hiddenSize]])
  return tensors
}
