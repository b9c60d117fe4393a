/**
 * A runner without a GPU: it computes the fake model through a simulated KV cache of physical blocks and registers, and
 * throws where a batch breaks the contract in batch.ts. Spans are computed in reverse order, since the order must not
 * matter. A step is computed when it is submitted, and its result comes some tasks later, as with a device.
 */
import {
  type Batch,
  blockTableRoom,
  type LogitsRecord,
  MAX_IN_FLIGHT,
  numRowsOf,
  type Runner,
  type RunnerLimits,
  type Span,
  type StepResult,
} from '../../src/engine/batch.ts'
import type { LayerList } from '../../src/model/layerList.ts'
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
  /** Layers that the adapter in a slot runs. Default those of the base. */
  readonly layersOf?: (slot: number) => LayerList | null | undefined
  /** Runs while a step is in flight. What it throws is the step's failure. */
  readonly inFlight?: (index: number, batch: Batch) => void | Promise<void>
  /** Tasks after which a result comes. Default 0. */
  readonly latency?: number
  /** Results that may be outstanding. */
  readonly maxInFlight?: number
}

/** What a draw left for the sequence's next span. */
interface Register {
  readonly token: number
  /** That the token will have. */
  readonly position: number
  readonly hasEnded: boolean
}

/** What a token left, and in which step. */
interface Cell {
  readonly value: number
  readonly step: number
}

export class FakeRunner implements Runner {
  readonly limits: RunnerLimits
  readonly #weightsOf: (slot: number) => number | undefined
  readonly #layersOf: (slot: number) => LayerList | null | undefined
  readonly #inFlight: (index: number, batch: Batch) => void | Promise<void>
  /** By block * blockSize + offset. */
  readonly #cells: (Cell | undefined)[] = []
  readonly #registers: (Register | undefined)[] = []
  readonly #latency: number
  readonly #maxInFlight: number
  #numSteps = 0
  #numInFlight = 0
  #last: Promise<unknown> = Promise.resolve()
  /** Most results that were ever outstanding at once. */
  mostInFlight = 0

  constructor(options: FakeRunnerOptions = {}) {
    const { limits, weightsOf = (slot) => slot + 1, inFlight = () => {} } = options
    this.limits = { ...FAKE_LIMITS, ...limits }
    this.#weightsOf = weightsOf
    this.#layersOf = options.layersOf ?? (() => null)
    this.#inFlight = inFlight
    this.#latency = options.latency ?? 0
    this.#maxInFlight = options.maxInFlight ?? MAX_IN_FLIGHT
  }

  get numSteps(): number {
    return this.#numSteps
  }

  async submit(batch: Batch): Promise<StepResult> {
    check(this.#numInFlight < this.#maxInFlight, `${this.#numInFlight} results are out already`)
    this.mostInFlight = Math.max(this.mostInFlight, ++this.#numInFlight)
    const index = this.#numSteps
    const result = this.#answer(index, batch, this.run(batch), this.#last)
    this.#last = result
    return result
  }

  async echo(): Promise<void> {
    await this.#wait()
  }

  /** In the order of submission; after a failure all fail. */
  async #answer(index: number, batch: Batch, result: StepResult, before: Promise<unknown>): Promise<StepResult> {
    try {
      await Promise.all([this.#wait(), before])
      await this.#inFlight(index, batch)
      return result
    } finally {
      this.#numInFlight--
    }
  }

  async #wait(): Promise<void> {
    for (let i = 0; i < this.#latency; i++) await new Promise((resolve) => setImmediate(resolve))
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
      const cells = this.#places(span, position).map((at) => this.#cells[at])
      const [cell] = cells
      check(cell !== undefined, `position ${position} is read but was never written`)
      check(
        cells.every((each) => each?.value === cell.value),
        `position ${position} is not the same in all folds`,
      )
      check(cell.step < this.#numSteps, `position ${position} is read in the step that writes it`)
      past = after(past, cell.value)
    }
    const fed = this.#fedOf(span)
    const states = (span.tokens ?? [fed!.token]).map((token, row) => {
      const position = span.start + row
      const cell = { value: cellOf(weights, position, token, past), step: this.#numSteps }
      for (const at of this.#places(span, position)) {
        const block = Math.floor(at / this.limits.blockSize)
        check(this.#cells[at]?.step !== this.#numSteps, `two spans write block ${block}`)
        this.#cells[at] = cell
      }
      past = after(past, cell.value)
      return past
    })
    return span.logits.map(({ row, want, topLogprobs }) => {
      if (fed?.hasEnded) return { token: null, logprobs: null, isVoid: true }
      if ('sample' in want) {
        const drawn = sample(states[row]!, want, topLogprobs, vocabSize)
        const hasEnded = want.stopIds?.includes(drawn.token) ?? false
        if (span.register !== undefined) {
          this.#registers[span.register] = { token: drawn.token, position: want.position, hasEnded }
        }
        return drawn
      }
      const logprobs = topLogprobs === null ? null : logprobsOf(states[row]!, want.score, topLogprobs, vocabSize)
      return { token: want.score, logprobs }
    })
  }

  /** What the span's register holds, if that is what it computes. */
  #fedOf({ tokens, register, start }: Span): Register | null {
    if (tokens !== null) return null
    const held = register === undefined ? undefined : this.#registers[register]
    check(
      held && (held.hasEnded || held.position === start),
      `position ${start} is fed from a register that holds another`,
    )
    return held
  }

  /** Where a position is kept, in each fold. */
  #places(span: Span, position: number): number[] {
    const { blockSize } = this.limits
    const numFolds = this.#numFoldsOf(span)
    return Array.from({ length: numFolds }, (_, fold) => {
      const block = span.blockTable[Math.floor(position / blockSize) * numFolds + fold]!
      return block * blockSize + (position % blockSize)
    })
  }

  #layers({ slot }: Span): LayerList | null {
    return slot === null ? null : (this.#layersOf(slot) ?? null)
  }

  #numFoldsOf(span: Span): number {
    return this.#layers(span)?.numFolds ?? 1
  }

  #checkBudgets({ spans }: Batch): void {
    const { maxRows, maxSpans, maxLogitsRows } = this.limits
    const sum = (count: (span: Span) => number): number => spans.reduce((total, span) => total + count(span), 0)
    check(spans.length > 0, 'a step has no spans')
    check(spans.length <= maxSpans, `${spans.length} spans`)
    check(new Set(spans.map((span) => this.#layers(span)?.key)).size === 1, 'two spans run different layers')
    check(sum(({ blockTable }) => blockTable.length) <= blockTableRoom(this.limits), 'too long block tables')
    check(sum(numRowsOf) <= maxRows, 'too many rows')
    const registers = spans.flatMap(({ register }) => register ?? [])
    check(new Set(registers).size === registers.length, 'two spans have the same register')
    check(
      registers.every((register) => register >= 0 && register < maxSpans),
      'a register does not exist',
    )
    check(sum((span) => span.logits.length) <= maxLogitsRows, 'too many logits rows')
  }

  #checkSpan(span: Span): void {
    const { tokens, start, blockTable, logits } = span
    const { blockSize, numBlocks, maxModelLen, vocabSize } = this.limits
    const numRows = numRowsOf(span)
    const end = start + numRows
    check(numRows > 0, 'a span has no tokens')
    check(end <= maxModelLen, `position ${end} is beyond the model`)
    check((blockTable.length / this.#numFoldsOf(span)) * blockSize >= end, 'the block table is too short')
    check(
      blockTable.every((block) => block >= 0 && block < numBlocks),
      'a block does not exist',
    )
    check(
      (tokens ?? []).every((token) => token >= 0 && token < vocabSize),
      'a token does not exist',
    )
    logits.forEach(({ row, want, topLogprobs }, i) => {
      check(row < numRows && row > (logits[i - 1]?.row ?? -1), 'logits rows are out of order')
      check(topLogprobs === null || topLogprobs <= 20, 'too many logprobs')
      if ('sample' in want) check(want.position === start + row + 1 && want.banned.length <= 32, 'a wrong draw')
    })
  }
}

function check(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`The batch breaks the runner's contract: ${message}`)
}
