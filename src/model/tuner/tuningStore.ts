/** What is remembered of a device and a model's shape between starts: which candidates were chosen, and their times. */
import type { Gpu } from '../../gpu/gpu.ts'
import { VERSION } from '../../version.ts'
import type { FloatDtype } from '../../weights/dtype.ts'
import type { ActivationDtype } from '../kernels/includes.ts'
import type { KernelTuning } from '../kernels/tuning.ts'
import type { ModelSpec } from '../spec.ts'
import type { Candidate, Tunable } from './tunable.ts'

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

/** What was found of one choice so far. */
export interface Finding {
  /** Label of the candidate to use. */
  readonly chosen: string
  /** Milliseconds by label, of those that could be used: as if all had been timed beside the one that is chosen. */
  readonly ms: Readonly<Record<string, number>>
  /** Why others cannot be used, by label. */
  readonly rejected: Readonly<Record<string, string>>
  /** At how many starts others took too long to compile, by label: a later start tries them again. */
  readonly slow: Readonly<Record<string, number>>
}

/** By name of the choice. */
export type Findings = Readonly<Record<string, Finding>>

/** All that decides what is fastest and what there is to choose from: device and driver, this version, the model's shape. */
export function tuningKey(gpu: Gpu, spec: ModelSpec, dtype: FloatDtype, activations: ActivationDtype = 'F32'): string {
  const { adapter, subgroups, subgroupMinSize, subgroupMaxSize } = gpu.can
  const { hiddenSize, intermediateSize, numHeads, numKvHeads, headDim } = spec
  const team = subgroups ? `subgroups ${subgroupMinSize}-${subgroupMaxSize}` : 'workgroups'
  const shape = `${hiddenSize} ${intermediateSize} ${numHeads} ${numKvHeads} ${headDim} ${dtype}${activations === 'F32' ? '' : ' in halves'}`
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
    const found = ((parsed as Record<string, unknown>)[name] ?? {}) as Partial<Finding>
    const labels = candidates.map(({ label }) => label)
    const { chosen } = found
    if (chosen === undefined || !labels.includes(chosen)) return []
    const ms = entriesOf(found.ms, labels, 'number')
    const rejected = entriesOf(found.rejected, labels, 'string')
    return [[name, { chosen, ms, rejected, slow: entriesOf(found.slow, labels, 'number') }] as const]
  })
  return Object.fromEntries(known)
}

/** Those of these labels and this type. */
function entriesOf<Value extends number | string>(
  found: Readonly<Record<string, Value>> | undefined,
  labels: readonly string[],
  type: 'number' | 'string',
): Record<string, Value> {
  const isKnown = ([label, value]: [string, Value]) => labels.includes(label) && typeof value === type
  return Object.fromEntries(Object.entries(found ?? {}).filter(isKnown))
}

/** The candidates about which nothing is settled yet, in their order. */
export function untried({ candidates, chosen }: Tunable, usual: KernelTuning, finding?: Finding): readonly Candidate[] {
  const { ms = {}, rejected = {} } = finding ?? {}
  return candidates.filter(
    ({ label }) => label !== chosen(usual) && ms[label] === undefined && rejected[label] === undefined,
  )
}

/** `tuning` with what was found. */
export function tunedBy(tuning: KernelTuning, tunables: readonly Tunable[], findings: Findings): KernelTuning {
  return tunables.reduce((tuned, { name, candidates }) => {
    const candidate = candidates.find(({ label }) => label === findings[name]?.chosen)
    return candidate ? candidate.within(tuned) : tuned
  }, tuning)
}
