/** One planned step: the batch for the runner and, beside it, whose spans these are. */
import { invariant } from '../errors.ts'
import { type Batch, blockTableRoom, numRowsOf, type RunnerLimits, type Span } from './batch.ts'
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

/** Fills a step up to the runner's limits, with sequences that run the same layers: the first one decides. */
export class PlanBuilder {
  readonly #limits: RunnerLimits
  #rowsLeft: number
  #logitsRowsLeft: number
  /** Blocks that its tables can still name: too few only where adapters with more layers than the base share long prompts. */
  #blocksLeft: number
  readonly #spans: Span[] = []
  readonly #sequences: Sequence[] = []

  constructor(limits: RunnerLimits) {
    this.#limits = limits
    this.#rowsLeft = limits.maxRows
    this.#logitsRowsLeft = limits.maxLogitsRows
    this.#blocksLeft = blockTableRoom(limits)
  }

  /** Whether any sequence can still have a row. */
  get hasRoom(): boolean {
    return this.#rowsLeft > 0 && this.#logitsRowsLeft > 0
  }

  get isEmpty(): boolean {
    return this.#spans.length === 0
  }

  /** Whether `sequence` runs the layers of this step. */
  takes({ pass }: Sequence): boolean {
    return pass === (this.#sequences[0]?.pass ?? pass)
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
    const { tokens, register, numComputed: start, numFolds } = sequence
    const numBlocks = Math.ceil((start + count) / this.#limits.blockSize) * numFolds
    if (count === 0 || numBlocks > this.#blocksLeft) return

    invariant(this.takes(sequence), `Request ${sequence.request.id} runs other layers than its step`)
    invariant(register !== null, `Request ${sequence.request.id} is planned but does not run`)
    const end = start + count
    const isFed = start >= tokens.length
    invariant(isFed ? count === 1 : end <= tokens.length, `Request ${sequence.request.id} runs ahead of its tokens`)
    this.#spans.push({
      tokens: isFed ? null : tokens.slice(start, end),
      start,
      register,
      blockTable: sequence.blocks.slice(0, numBlocks),
      slot: sequence.slot,
      ...(start < sequence.activeFrom && { activeFrom: sequence.activeFrom }),
      logits,
    })
    this.#sequences.push(sequence)
    this.#rowsLeft -= count
    this.#logitsRowsLeft -= logits.length
    this.#blocksLeft -= numBlocks
    sequence.planned(count, logits)
  }

  /** The step, or null if nothing found room or nobody had work. */
  build(): Plan | null {
    if (this.isEmpty) return null
    return {
      batch: { spans: this.#spans },
      sequences: this.#sequences,
      numRows: this.#limits.maxRows - this.#rowsLeft,
      numLogitsRows: this.#limits.maxLogitsRows - this.#logitsRowsLeft,
    }
  }
}
