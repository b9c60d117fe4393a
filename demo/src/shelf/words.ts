/** A check report in sentences. */
import { bytesText, counted } from '../app/format.ts'
import type { CheckedModule, CheckReport } from '../engine/types.ts'

const KIND_WORDS: Readonly<Record<string, string>> = {
  bias: 'biases',
  norms: 'norms',
  embedding: 'embedding',
  head: 'output layer',
  rows: 'own rows',
  layers: 'own layers',
  alora: 'invocation',
}

/** What an adapter is made of, for the list: `LoRA`, `DoRA with biases`, … */
export function kindWords(kinds: readonly string[]): string {
  const name = kinds.includes('dora') ? 'DoRA' : kinds.includes('lora') ? 'LoRA' : 'weights'
  const extras = kinds.flatMap((kind) => KIND_WORDS[kind] ?? [])
  return extras.length === 0 ? name : `${name} with ${extras.join(', ')}`
}

/** Whether it can be a part of a blend: only what is added to a weight has a sum. */
export function hasSum(kinds: readonly string[]): boolean {
  return kinds.every((kind) => ['lora', 'embedding', 'head', 'bias'].includes(kind))
}

/** The same of a check report, whose modules say of themselves what they are. */
export function kindOf(modules: readonly CheckedModule[]): string {
  const parts = new Set(modules.flatMap((module) => module.with))
  const hasRank = modules.some(({ rank }) => rank > 0)
  return kindWords([
    ...(hasRank ? ['lora'] : []),
    ...(parts.has('dora') ? ['dora'] : []),
    ...(parts.has('bias') || parts.has('lora_bias') ? ['bias'] : []),
    ...(parts.has('weight') || parts.has('tokens') ? ['rows'] : []),
  ])
}

/** `q_proj, v_proj` for modules of many layers. */
export function targetsOf(modules: readonly CheckedModule[]): readonly string[] {
  return [...new Set(modules.map(({ path }) => path.split('.').at(-1) ?? path))]
}

export function ranksOf(modules: readonly CheckedModule[]): string {
  const ranks = [...new Set(modules.map(({ rank }) => rank).filter((rank) => rank > 0))].sort((a, b) => a - b)
  if (ranks.length === 0) return 'no rank'
  return ranks.length === 1 ? `rank ${ranks[0]}` : `ranks ${ranks[0]} to ${ranks.at(-1)}`
}

/** What the report says, one sentence a line. */
export function reportLines(report: CheckReport): readonly string[] {
  const { modules, bytes, loadedAs, wouldEvict, wouldWait, notes } = report
  const evicts = `It would take the place of ${wouldEvict.join(', ')} on the GPU`
  return [
    `${kindOf(modules)} of ${ranksOf(modules)} on ${counted(modules.length, 'module')}: ${targetsOf(modules).join(', ')}.`,
    `${bytesText(bytes.host)} in memory, ${bytesText(bytes.gpu)} on the GPU.`,
    ...(loadedAs.length > 0
      ? [`The same bytes are on the shelf as ${loadedAs.join(', ')}: they are stored once.`]
      : []),
    ...(wouldEvict.length > 0 ? [`${evicts}${wouldWait ? ', and wait for room' : ''}.`] : []),
    ...(wouldWait && wouldEvict.length === 0 ? ['It would wait until running answers give back their room.'] : []),
    ...notes,
  ]
}
