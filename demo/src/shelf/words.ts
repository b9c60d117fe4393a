/** A check report in sentences. */
import { bytesText, counted } from '../app/format.ts'
import type { CheckedModule, CheckReport } from '../engine/types.ts'

/** What kind of adapter these modules make: `LoRA`, `DoRA with biases`, … */
export function kindOf(modules: readonly CheckedModule[]): string {
  const parts = new Set(modules.flatMap((module) => module.with))
  const base = parts.has('dora')
    ? 'DoRA'
    : modules.some(({ rank }) => rank > 0)
      ? 'LoRA'
      : 'weights in place of the base’s'
  const extras = [
    ...(parts.has('bias') || parts.has('lora_bias') ? ['biases'] : []),
    ...(parts.has('weight') && base !== 'weights in place of the base’s' ? ['whole weights'] : []),
    ...(parts.has('tokens') ? ['token rows'] : []),
  ]
  return extras.length === 0 ? base : `${base} with ${extras.join(' and ')}`
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
