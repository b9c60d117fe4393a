/** What is remembered of a device and a model's shape between starts: which candidates were chosen, and their times. */
import type { Gpu } from '../../gpu/gpu.ts'
import { VERSION } from '../../version.ts'
import type { FloatDtype } from '../../weights/dtype.ts'
import type { KernelTuning } from '../kernels/tuning.ts'
import type { ModelSpec } from '../spec.ts'
import type { Tunable } from './tunable.ts'

/** Where a host keeps it. Neither function need be quick, and what they throw costs a tuning, no more. */
export interface TuningStore {
  /** What was written under this key, or null. */
  read(key: string): Promise<string | null>
  write(key: string, text: string): Promise<void>
}

/** For hosts that keep nothing. */
export class MemoryTuningStore implements TuningStore {
  readonly #texts = new Map<string, string>()

  async read(key: string): Promise<string | null> {
    return this.#texts.get(key) ?? null
  }

  async write(key: string, text: string): Promise<void> {
    this.#texts.set(key, text)
  }
}

/** What was found of one choice. */
export interface Finding {
  /** Label of the candidate to use. */
  readonly chosen: string
  /** Milliseconds by label, of those that could be used. */
  readonly ms: Readonly<Record<string, number>>
  /** Why the others could not, by label. */
  readonly rejected: Readonly<Record<string, string>>
}

/** By name of the choice. */
export type Findings = Readonly<Record<string, Finding>>

/** All that decides what is fastest and what there is to choose from: device and driver, this version, the model's shape. */
export function tuningKey(gpu: Gpu, spec: ModelSpec, dtype: FloatDtype): string {
  const { adapter, subgroups, subgroupMinSize, subgroupMaxSize } = gpu.can
  const { hiddenSize, intermediateSize, numHeads, numKvHeads, headDim } = spec
  const team = subgroups ? `subgroups ${subgroupMinSize}-${subgroupMaxSize}` : 'workgroups'
  const shape = `${hiddenSize} ${intermediateSize} ${numHeads} ${numKvHeads} ${headDim} ${dtype}`
  return `lorikeet ${VERSION} | ${adapter} | ${gpu.implementation} | ${team} | ${shape}`
}

export function findingsText(findings: Findings): string {
  return JSON.stringify(findings, null, 1)
}

/** What a store returned, without what does not make sense (any more). */
export function readFindings(text: string | null, tunables: readonly Tunable[]): Findings {
  let parsed: unknown = null
  try {
    parsed = JSON.parse(text ?? 'null')
  } catch {
    // Cut short, or somebody else's: measured anew.
  }
  if (typeof parsed !== 'object' || parsed === null) return {}
  const known = tunables.flatMap(({ name, candidates }) => {
    const { chosen, ms, rejected } = ((parsed as Record<string, unknown>)[name] ?? {}) as Partial<Finding>
    if (!candidates.some(({ label }) => label === chosen)) return []
    return [[name, { chosen: chosen!, ms: { ...ms }, rejected: { ...rejected } }] as const]
  })
  return Object.fromEntries(known)
}

/** `tuning` with what was found. */
export function tunedBy(tuning: KernelTuning, tunables: readonly Tunable[], findings: Findings): KernelTuning {
  return tunables.reduce((tuned, { name, candidates }) => {
    const candidate = candidates.find(({ label }) => label === findings[name]?.chosen)
    return candidate ? candidate.within(tuned) : tuned
  }, tuning)
}
