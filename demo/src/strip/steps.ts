/**
 * The strip's picture of the last steps: a column for each, in it a block for every adapter that had rows. A sequence that
 * got its next token is one cell. The rows of a prompt are many at once, so they are one taller block, by their square root.
 */
import type { Step } from '../engine/types.ts'

export interface Block {
  readonly adapter: string | null
  /** A prompt's rows in one block, or one cell. */
  readonly isPrefill: boolean
  /** In cells. */
  readonly height: number
}

export interface Column {
  readonly step: Step
  /** From the bottom up, the base first. */
  readonly blocks: readonly Block[]
  readonly height: number
  /** The engine had nothing to do before this step. */
  readonly followsPause: boolean
}

/** Longer than this between two steps and they belong to different bursts of work. */
const PAUSE_MS = 400

export function prefillHeight(tokens: number): number {
  return tokens === 0 ? 0 : Math.max(1, Math.sqrt(tokens))
}

/** `order` says in which order adapters stand; those it does not name stand on top. */
export function columnOf(step: Step, before: Step | null, order: readonly (string | null)[]): Column {
  const rank = (adapter: string | null): number => {
    const index = order.indexOf(adapter)
    return index < 0 ? order.length : index
  }
  const rows = [...step.rows].sort((a, b) => rank(a.adapter) - rank(b.adapter))
  const blocks = rows.flatMap(({ adapter, prefill, decode }) => [
    ...Array.from({ length: decode }, () => ({ adapter, isPrefill: false, height: 1 })),
    ...(prefill > 0 ? [{ adapter, isPrefill: true, height: prefillHeight(prefill) }] : []),
  ])
  return {
    step,
    blocks,
    height: blocks.reduce((sum, { height }) => sum + height, 0),
    followsPause: before !== null && step.at_ms - step.ms - before.at_ms > PAUSE_MS,
  }
}

/** Rows of a step: what the batch held. */
export function numRows({ rows }: Step): number {
  return rows.reduce((sum, { prefill, decode }) => sum + prefill + decode, 0)
}

/** A step in words, for those who hear the page and for the pointer. */
export function stepInWords(step: Step, baseName: string): string {
  const parts = step.rows.map(({ adapter, prefill, decode }) => {
    const prompt = prefill > 0 ? [`${prefill} of a prompt`] : []
    const next = decode > 0 ? [`${decode} decoding`] : []
    return `${adapter ?? baseName} ${[...prompt, ...next].join(' and ')}`
  })
  const count = numRows(step)
  return `Step ${step.step}: ${count} ${count === 1 ? 'row' : 'rows'} in ${step.ms.toFixed(1)} ms. ${parts.join(', ')}.`
}

/** The newest steps, in order and without doubles, at most `most` of them. */
export class StepLog {
  readonly #most: number
  #steps: Step[] = []

  constructor(most = 600) {
    this.#most = most
  }

  get all(): readonly Step[] {
    return this.#steps
  }

  get last(): Step | null {
    return this.#steps.at(-1) ?? null
  }

  /** Takes what is newer than all it has; says how many that were. A count that begins anew is another engine's. */
  add(steps: readonly Step[]): number {
    const last = this.last?.step ?? -1
    const newer = steps.filter(({ step }) => step > last)
    this.#steps.push(...newer)
    if (this.#steps.length > this.#most) this.#steps = this.#steps.slice(-this.#most)
    return newer.length
  }

  clear(): void {
    this.#steps = []
  }
}
