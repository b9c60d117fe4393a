/**
 * The layers that a pass runs. Usually the base's own; an adapter that replicates layers has a list of its own, in which a
 * layer of the base may stand several times, or not at all. The weights of a place are those of its layer of the base;
 * what an adapter adds there, and the keys and values, belong to the place.
 *
 * What is made for the base's number of layers n serves longer lists too: place p uses the buffers of layer p % n, in
 * fold floor(p / n). Each fold takes a block of the KV cache for the same tokens, and a slot of the adapters' table.
 */
import type { ModelSpec } from './spec.ts'

/** Most folds of a list: no model is known to be deepened further. */
export const MAX_FOLDS = 4

export interface LayerList {
  /** Layer of the base at each place. */
  readonly layers: readonly number[]
  /** How many times the base's layers reach over all places: 1 to MAX_FOLDS. */
  readonly numFolds: number
  /** The same for equal lists. */
  readonly key: string
}

/** Where a place stands among the base's layers. */
export interface Fold {
  readonly fold: number
  readonly numFolds: number
}

export const ONE_FOLD: Fold = { fold: 0, numFolds: 1 }

/** @param layers of the base of this shape, at most MAX_FOLDS times as many as it has */
export function layerList({ numLayers }: ModelSpec, layers: readonly number[]): LayerList {
  return { layers, numFolds: Math.ceil(layers.length / numLayers), key: layers.join() }
}

/** The layers of the base, each at its own place. */
export function baseLayers(spec: ModelSpec): LayerList {
  return layerList(
    spec,
    Array.from({ length: spec.numLayers }, (_, layer) => layer),
  )
}

/** The model that has the layers of a list for its own. */
export function withLayers(spec: ModelSpec, { layers }: LayerList): ModelSpec {
  return { ...spec, numLayers: layers.length, slidingWindows: layers.map((layer) => spec.slidingWindows[layer]!) }
}
