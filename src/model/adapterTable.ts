/**
 * Where things stand in the adapters' table: the host's half of `shaders/lora_table.wgsl`. An entry for each (slot,
 * layer, group), and after the last layer of a slot one for the embedding and one for the output layer.
 */
import { GROUPS, type Group, type ModelSpec } from './spec.ts'

/** Words of one entry. */
export const ENTRY_WORDS = 32
/** Words before the projections of an entry, and of each. */
export const ENTRY_HEAD = 4
export const PROJECTION_WORDS = 8

/** Norms whose gain an adapter may replace. `final` is the one before the output layer. */
export type NormName = 'input' | 'post' | 'q' | 'k' | 'final'

/** What an entry is about: a group of projections, or one of the two modules outside the layers. */
export type TableGroup = Group | 'embedding' | 'head'

const OUTER_GROUPS: readonly TableGroup[] = ['embedding', 'head']

/** Layers as the table counts them: one more, for what is outside. */
export function tableLayers({ numLayers }: ModelSpec): number {
  return numLayers + 1
}

/**
 * Layer and index of a group's entry, as kernels are told them. `place` is one of the adapter's layers and does not matter
 * for what is outside. Places beyond the base's layers stand in the slots behind, as many as the adapter has folds.
 */
export function entryPlace(
  spec: ModelSpec,
  place: number,
  group: TableGroup,
): { readonly layer: number; readonly group: number; readonly numLayers: number } {
  const numLayers = tableLayers(spec)
  const outer = OUTER_GROUPS.indexOf(group)
  if (outer >= 0) return { layer: spec.numLayers, group: outer, numLayers }
  return { layer: place + Math.floor(place / spec.numLayers), group: GROUPS.indexOf(group as Group), numLayers }
}

/** Words of all entries of a slot. */
export function slotWords(spec: ModelSpec): number {
  return tableLayers(spec) * GROUPS.length * ENTRY_WORDS
}

/** First word of an entry, counted from the adapter's first slot. */
export function entryWord(spec: ModelSpec, place: number, group: TableGroup): number {
  const at = entryPlace(spec, place, group)
  return (at.layer * GROUPS.length + at.group) * ENTRY_WORDS
}

/** The layer whose slab holds what an adapter has at a place; their number, for what is outside of them. */
export function slabLayer({ numLayers }: ModelSpec, place: number, group: TableGroup): number {
  return OUTER_GROUPS.includes(group) ? numLayers : place % numLayers
}

/** In which entry, and at which of its words, the offset of a norm's gain stands. 0 means the base's. */
export const NORM_PLACES: Readonly<Record<NormName, { readonly group: TableGroup; readonly word: number }>> = {
  input: { group: 'attn_in', word: 28 },
  q: { group: 'attn_in', word: 29 },
  k: { group: 'attn_in', word: 30 },
  post: { group: 'mlp_in', word: 28 },
  final: { group: 'head', word: 28 },
}

/** How a kernel finds the gain of a row's adapter: words of a slot, and the word within it. */
export interface GainPlace {
  readonly slotWords: number
  readonly word: number
}

export function gainPlace(spec: ModelSpec, place: number, norm: NormName): GainPlace {
  const { group, word } = NORM_PLACES[norm]
  return { slotWords: slotWords(spec), word: entryWord(spec, place, group) + word }
}
