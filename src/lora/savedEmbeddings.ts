/**
 * Embedding and output layer that PEFT saved whole beside an adapter that neither adapts nor names them
 * (`save_embedding_layers`). PEFT loads them over the base's, so they are rows in place of the base's, of every token. Most
 * are the base's own, and then they are left out.
 */
import type { ModelSpec } from '../model/spec.ts'
import type { TensorInfo } from '../weights/safetensors.ts'
import { type BaseRows, differsFromBase } from './baseRows.ts'
import { type AdapterPlan, checkTensor, type RowsPlan } from './modulePlan.ts'
import type { VocabularyModule } from './modules.ts'

/** A weight under the name of the base's own. */
export interface SavedEmbedding {
  readonly module: VocabularyModule
  readonly weight: TensorInfo
}

/**
 * The rows that they are.
 * @param modules embedding and output layer
 * @throws AdapterRefusedError for a shape that the base does not have
 */
export function savedEmbeddingRows(
  spec: ModelSpec,
  saved: readonly SavedEmbedding[],
  modules: readonly VocabularyModule[],
): readonly RowsPlan[] {
  for (const { weight } of saved) checkTensor(weight, [spec.vocabSize, spec.hiddenSize])
  const last = saved.at(-1)
  if (!last) return []
  // In a tied base both are one weight, and what PEFT loads last counts: the output layer's.
  const rows = spec.tiedEmbeddings ? modules.map((module) => ({ module, weight: last.weight })) : saved
  return rows.map(({ module, weight }) => ({ module, tokens: null, matrix: weight, mayBeBase: true }))
}

/** The plan without rows that are the base's to the bit. Without `baseRows` they stay, and compute the same. */
export async function withoutBaseRows(
  plan: AdapterPlan,
  baseRows: BaseRows | undefined,
  signal?: AbortSignal,
): Promise<AdapterPlan> {
  if (!baseRows || !plan.rows?.some(({ mayBeBase }) => mayBeBase)) return plan
  const rows: RowsPlan[] = []
  for (const each of plan.rows) {
    const { module, matrix, mayBeBase } = each
    if (!mayBeBase || (await differsFromBase({ module, weight: matrix }, baseRows, signal))) rows.push(each)
  }
  return { ...plan, rows }
}
