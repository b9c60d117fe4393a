/** What an adapter would be and cost here, found out without loading it: the answer to a dry run. */
import type { ModelSpec } from '../model/spec.ts'
import { hostBytesOf } from './hostBytes.ts'
import { modulePath, normPath } from './modules.ts'
import type { LoraPart, NormalAdapter, VocabularyChange } from './normal.ts'
import { gpuBytesOf } from './packing.ts'
import type { ReadAdapter } from './readAdapter.ts'
import type { AdapterRegistry } from './registry.ts'

export interface AdapterReport {
  readonly format: ReadAdapter['format']
  readonly digest: string
  /** Largest of any module. */
  readonly rank: number
  /** What it changes, in the base's order. */
  readonly modules: readonly ModuleReport[]
  /** The base's layer at each place, where it runs others than the base's; null: it runs those. */
  readonly layers: readonly number[] | null
  /** How many times as much room in the KV cache a token takes with it as with the base. */
  readonly kvFactor: number
  /** What is ignored and why that changes nothing, in sentences. */
  readonly notes: readonly string[]
  /** What it takes in each tier. On the GPU before it is rounded up to pages. */
  readonly bytes: { readonly host: number; readonly gpu: number }
  /** Names under which these very bytes are served already. */
  readonly loadedAs: readonly string[]
  /** Names of the adapters that would leave the GPU for it, if it were used now. */
  readonly wouldEvict: readonly string[]
  /** It would first have to wait for running generations, because what they use fills the GPU. */
  readonly wouldWait: boolean
}

export interface ModuleReport {
  /** As transformers names it: `model.layers.0.self_attn.q_proj`; of replicated layers the new number. */
  readonly path: string
  readonly rank: number
  readonly scale: number
  readonly dtype: string
  /** What it is besides A and B, of which a rank of 0 means none: `weight` is a whole one, `tokens` some of its rows. */
  readonly with: readonly ('dora' | 'bias' | 'lora_bias' | 'weight' | 'tokens')[]
}

export function reportOn(read: ReadAdapter, registry: AdapterRegistry, spec: ModelSpec): AdapterReport {
  const { adapter, format, notes } = read
  const bytes = gpuBytesOf(adapter, spec)
  const { evicts, waits } = registry.planRoom(adapter.digest, bytes)
  return {
    format,
    digest: adapter.digest,
    rank: adapter.maxRank,
    modules: reportOnModules(adapter, spec),
    layers: adapter.layers?.layers ?? null,
    kvFactor: adapter.layers?.numFolds ?? 1,
    notes,
    bytes: { host: hostBytesOf(adapter), gpu: bytes },
    loadedAs: registry.list().flatMap(({ name, digest }) => (digest === adapter.digest ? name : [])),
    wouldEvict: evicts.flat(),
    wouldWait: waits,
  }
}

function reportOnModules(
  { modules, norms = [], embedding, head }: NormalAdapter,
  spec: ModelSpec,
): readonly ModuleReport[] {
  // Of a fused module the first part speaks for all.
  const byPath = new Map(
    modules.toReversed().map((module) => [modulePath(spec, module.layer, module.projection), module]),
  )
  return [
    ...reportOnVocabulary('model.embed_tokens', embedding),
    ...[...byPath].toReversed().map(([path, module]) => reportOnPart(path, module)),
    ...norms.map(({ layer, norm, gain: { dtype } }) => whole(normPath(layer, norm), dtype, 'weight')),
    ...reportOnVocabulary('lm_head', head),
  ]
}

function reportOnVocabulary(path: string, { lora, rows }: VocabularyChange = {}): readonly ModuleReport[] {
  return [
    ...(lora ? [reportOnPart(path, lora)] : []),
    ...(rows ? [whole(path, rows.matrix.dtype, rows.tokens ? 'tokens' : 'weight')] : []),
  ]
}

function whole(path: string, dtype: string, what: 'weight' | 'tokens'): ModuleReport {
  return { path, rank: 0, scale: 0, dtype, with: [what] }
}

function reportOnPart(path: string, { rank, scale, a, b, magnitude, bias, loraBias }: LoraPart): ModuleReport {
  const parts: readonly [ModuleReport['with'][number], unknown][] = [
    ['dora', magnitude],
    ['bias', bias],
    ['lora_bias', loraBias],
  ]
  return {
    path,
    rank,
    scale,
    dtype: a.dtype === b.dtype ? a.dtype : `${a.dtype} and ${b.dtype}`,
    with: parts.filter(([, part]) => part !== undefined).map(([name]) => name),
  }
}
