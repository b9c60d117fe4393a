/** One planned step: the batch for the runner and, beside it, whose spans these are. */
import { invariant } from '../errors.ts'
import { type Batch, numRowsOf, type RunnerLimits, type Span } from './batch.ts'
import type { AdapterRows } from './observer.ts'
import type { Sequence } from './sequence.ts'

export interface Plan {
  readonly batch: Batch
  /** The owner of each span, in the order of batch.spans. */
  readonly sequences: readonly Sequence[]
  /** Token rows of all spans. */
  readonly numRows: number
  readonly numLogitsRows: number
}

/** Whose rows a step computes, in the order in which they first appear. */
export function rowsByAdapter({ batch, sequences }: Plan): readonly AdapterRows[] {
  const byName = new Map<string | null, { adapter: string | null; prefill: number; decode: number }>()
  for (const [i, span] of batch.spans.entries()) {
    const { request, numPrompt } = sequences[i]!
    const adapter = request.adapter?.name ?? null
    let rows = byName.get(adapter)
    if (!rows) {
      rows = { adapter, prefill: 0, decode: 0 }
      byName.set(adapter, rows)
    }
    const count = numRowsOf(span)
    if (count === 1 && span.start >= numPrompt) rows.decode++
    else rows.prefill += count
  }
  return [...byName.values()]
}

/** Fills a step up to the runner's limits. */
export class PlanBuilder {
  readonly #limits: RunnerLimits
  #rowsLeft: number
  #logitsRowsLeft: number
  readonly #spans: Span[] = []
  readonly #sequences: Sequence[] = []

  constructor(limits: RunnerLimits) {
    this.#limits = limits
    this.#rowsLeft = limits.maxRows
    this.#logitsRowsLeft = limits.maxLogitsRows
  }

  /** Whether any sequence can still have a row. */
  get hasRoom(): boolean {
    return this.#rowsLeft > 0 && this.#logitsRowsLeft > 0
  }

  /**
   * Gives `sequence`, which owns the blocks for it, as many of its pending tokens as there is room for; maybe none. A
   * token that is not known here yet is the one that the device has in the sequence's register.
   * A chunk ends early where the scores of its prompt tokens would be more logits rows than the step has left.
   */
  add(sequence: Sequence): void {
    let count = Math.min(sequence.numPending, this.#rowsLeft)
    const logits = sequence.logitsRows(count)
    const firstTooMany = logits[this.#logitsRowsLeft]
    if (firstTooMany) {
      count = firstTooMany.row
      logits.length = this.#logitsRowsLeft
    }
    if (count === 0) return

    const { tokens, register, numComputed: start } = sequence
    invariant(register !== null, `Request ${sequence.request.id} is planned but does not run`)
    const end = start + count
    const isFed = start >= tokens.length
    invariant(isFed ? count === 1 : end <= tokens.length, `Request ${sequence.request.id} runs ahead of its tokens`)
    this.#spans.push({
      tokens: isFed ? null : tokens.slice(start, end),
      start,
      register,
      blockTable: sequence.blocks.slice(0, Math.ceil(end / this.#limits.blockSize)),
      slot: sequence.slot,
      ...(start < sequence.activeFrom && { activeFrom: sequence.activeFrom }),
      logits,
    })
    this.#sequences.push(sequence)
    this.#rowsLeft -= count
    this.#logitsRowsLeft -= logits.length
    sequence.planned(count, logits)
  }

  /** The step, or null if nothing found room or nobody had work. */
  build(): Plan | null {
    if (this.#spans.length === 0) return null
    return {
      batch: { spans: this.#spans },
      sequences: this.#sequences,
      numRows: this.#limits.maxRows - this.#rowsLeft,
      numLogitsRows: this.#limits.maxLogitsRows - this.#logitsRowsLeft,
    }
  }
}
