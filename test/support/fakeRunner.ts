/**
 * A runner without a GPU: it computes the fake model through a simulated KV cache of physical blocks, and throws where a
 * batch breaks the contract in batch.ts. Spans are computed in reverse order, since the order must not matter.
 */
import type { Batch, LogitsRecord, Runner, RunnerLimits, Span, StepResult } from '../../src/engine/batch.ts'
import { after, cellOf, EMPTY, logprobsOf, sample } from './fakeModel.ts'

export const FAKE_LIMITS: RunnerLimits = {
  maxRows: 16,
  maxSpans: 4,
  maxLogitsRows: 8,
  numBlocks: 32,
  blockSize: 4,
  maxModelLen: 64,
  vocabSize: 61,
}

/** Weights of the base model; those of adapters are the test's own numbers. */
export const BASE_WEIGHTS = 0

export interface FakeRunnerOptions {
  readonly limits?: Partial<RunnerLimits>
  /** What lies in an adapter slot now; undefined: nothing, so that using it is a fault. Default slot + 1. */
  readonly weightsOf?: (slot: number) => number | undefined
  /** Runs while a step is in flight. What it throws is the step's failure. */
  readonly inFlight?: (index: number, batch: Batch) => void | Promise<void>
}

/** What a token left, and in which step. */
interface Cell {
  readonly value: number
  readonly step: number
}

export class FakeRunner implements Runner {
  readonly limits: RunnerLimits
  readonly #weightsOf: (slot: number) => number | undefined
  readonly #inFlight: (index: number, batch: Batch) => void | Promise<void>
  /** By block * blockSize + offset. */
  readonly #cells: (Cell | undefined)[] = []
  #numSteps = 0
  #busy = false

  constructor({ limits, weightsOf = (slot) => slot + 1, inFlight = () => {} }: FakeRunnerOptions = {}) {
    this.limits = { ...FAKE_LIMITS, ...limits }
    this.#weightsOf = weightsOf
    this.#inFlight = inFlight
  }

  get numSteps(): number {
    return this.#numSteps
  }

  async submit(batch: Batch): Promise<StepResult> {
    check(!this.#busy, 'a step was submitted before the last one had ended')
    this.#busy = true
    try {
      const index = this.#numSteps
      const result = this.run(batch)
      await this.#inFlight(index, batch)
      return result
    } finally {
      this.#busy = false
    }
  }

  /** One step, at once. */
  run(batch: Batch): StepResult {
    this.#checkBudgets(batch)
    const records = batch.spans.toReversed().map((span) => this.#compute(span))
    this.#numSteps++
    return { records: records.toReversed().flat() }
  }

  #compute(span: Span): LogitsRecord[] {
    this.#checkSpan(span)
    const { vocabSize } = this.limits
    const weights = span.slot === null ? BASE_WEIGHTS : this.#weightsOf(span.slot)
    check(weights !== undefined, `slot ${span.slot} holds no adapter`)

    let past = EMPTY
    for (let position = 0; position < span.start; position++) {
      const cell = this.#cells[this.#at(span, position)]
      check(cell !== undefined, `position ${position} is read but was never written`)
      check(cell.step < this.#numSteps, `position ${position} is read in the step that writes it`)
      past = after(past, cell.value)
    }
    const states = span.tokens.map((token, row) => {
      const position = span.start + row
      const at = this.#at(span, position)
      check(this.#cells[at]?.step !== this.#numSteps, `two spans write block ${Math.floor(at / this.limits.blockSize)}`)
      const cell = { value: cellOf(weights, position, token, past), step: this.#numSteps }
      this.#cells[at] = cell
      past = after(past, cell.value)
      return past
    })
    return span.logits.map(({ row, want, topLogprobs }) => {
      if ('sample' in want) return sample(states[row]!, want, topLogprobs, vocabSize)
      const logprobs = topLogprobs === null ? null : logprobsOf(states[row]!, want.score, topLogprobs, vocabSize)
      return { token: want.score, logprobs }
    })
  }

  #at({ blockTable }: Span, position: number): number {
    const { blockSize } = this.limits
    return blockTable[Math.floor(position / blockSize)]! * blockSize + (position % blockSize)
  }

  #checkBudgets({ spans }: Batch): void {
    const { maxRows, maxSpans, maxLogitsRows } = this.limits
    const sum = (count: (span: Span) => number): number => spans.reduce((total, span) => total + count(span), 0)
    check(spans.length > 0, 'a step has no spans')
    check(spans.length <= maxSpans, `${spans.length} spans`)
    check(sum((span) => span.tokens.length) <= maxRows, 'too many rows')
    check(sum((span) => span.logits.length) <= maxLogitsRows, 'too many logits rows')
  }

  #checkSpan({ tokens, start, blockTable, logits }: Span): void {
    const { blockSize, numBlocks, maxModelLen, vocabSize } = this.limits
    const end = start + tokens.length
    check(tokens.length > 0, 'a span has no tokens')
    check(end <= maxModelLen, `position ${end} is beyond the model`)
    check(blockTable.length * blockSize >= end, 'the block table is too short')
    check(
      blockTable.every((block) => block >= 0 && block < numBlocks),
      'a block does not exist',
    )
    check(
      tokens.every((token) => token >= 0 && token < vocabSize),
      'a token does not exist',
    )
    logits.forEach(({ row, want, topLogprobs }, i) => {
      check(row < tokens.length && row > (logits[i - 1]?.row ?? -1), 'logits rows are out of order')
      check(topLogprobs === null || topLogprobs <= 20, 'too many logprobs')
      if ('sample' in want) check(want.position === start + row + 1 && want.banned.length <= 32, 'a wrong draw')
    })
  }
}

function check(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`The batch breaks the runner's contract: ${message}`)
}
