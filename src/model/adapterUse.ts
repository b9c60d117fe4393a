/**
 * What adapters do, as far as it decides what is compiled, bound and dispatched. The adapter pool says it of each adapter,
 * the runner of all in a step, the forward pass acts on it: a kind that no row of a step uses costs the step nothing.
 */
import type { FloatDtype } from '../weights/dtype.ts'
import type { AdapterFeature } from './deferredKernels.ts'
import type { LayerList } from './layerList.ts'
import { GROUPS, type Group } from './spec.ts'

export interface AdapterUse {
  /** The layers it runs; null: the base's. */
  readonly layers: LayerList | null
  /** Element types of A and B. */
  readonly dtypes: ReadonlySet<FloatDtype>
  readonly groups: Readonly<Record<Group, GroupUse>>
  /** Norm gains in place of the base's. */
  readonly norms: boolean
  readonly embedding: VocabularyUse
  readonly head: VocabularyUse
}

/** What adapters do to the embedding, or to the output layer. */
export interface VocabularyUse extends GroupUse {
  /** The most rows that one brings in place of the base's. */
  readonly ownRows: number
}

/** What adapters do to a group of projections, in any layer. */
export interface GroupUse {
  /** The largest stacked rank; 0 where there is no A and B. */
  readonly rankSum: number
  /** There are row scales (DoRA) or biases. */
  readonly scalesOrBiases: boolean
}

/** What several adapters do together, which run the same layers. */
export function combineUses(uses: readonly AdapterUse[]): AdapterUse {
  const groups = GROUPS.map((group) => [group, combineGroups(uses.map((use) => use.groups[group]))] as const)
  return {
    layers: uses[0]?.layers ?? null,
    dtypes: new Set(uses.flatMap(({ dtypes }) => [...dtypes])),
    groups: Object.fromEntries(groups) as Record<Group, GroupUse>,
    norms: uses.some(({ norms }) => norms),
    embedding: combineVocabulary(uses.map(({ embedding }) => embedding)),
    head: combineVocabulary(uses.map(({ head }) => head)),
  }
}

function combineGroups(uses: readonly GroupUse[]): GroupUse {
  return {
    rankSum: Math.max(0, ...uses.map(({ rankSum }) => rankSum)),
    scalesOrBiases: uses.some(({ scalesOrBiases }) => scalesOrBiases),
  }
}

function combineVocabulary(uses: readonly VocabularyUse[]): VocabularyUse {
  return { ...combineGroups(uses), ownRows: Math.max(0, ...uses.map(({ ownRows }) => ownRows)) }
}

/** Whether an adapter does anything to the module. */
export function isUsed({ rankSum, scalesOrBiases, ownRows }: VocabularyUse): boolean {
  return rankSum > 0 || scalesOrBiases || ownRows > 0
}

/** Whether an adapter has row scales or biases anywhere. */
export function hasScalesOrBiases({ groups, embedding, head }: AdapterUse): boolean {
  return [...Object.values(groups), embedding, head].some(({ scalesOrBiases }) => scalesOrBiases)
}

/** What has to be made ready for such an adapter, besides LoRA. */
export function featuresOf({ norms, embedding, head }: AdapterUse): readonly AdapterFeature[] {
  const features: readonly (readonly [AdapterFeature, boolean])[] = [
    ['ownNorms', norms],
    ['ownEmbedding', embedding.ownRows > 0],
    ['embeddingLora', embedding.rankSum > 0],
    ['ownHead', head.ownRows > 0],
  ]
  return features.flatMap(([feature, wanted]) => (wanted ? [feature] : []))
}
