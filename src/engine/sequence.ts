/**
 * One request as the scheduler sees it: its tokens, how far they are computed, which KV blocks it owns. What it is doing
 * follows from these; nothing about it is stored twice. Prompt and answer are one list: a sequence whose blocks were
 * taken away computes both again from the start, and since a draw depends on (seed, position) alone, goes on as before.
 */
import { invariant } from '../errors.ts'
import { activationStart } from './activation.ts'
import type { LogitsRow, TokenLogprobs } from './batch.ts'
import type { AdapterLease, GenerationRequest } from './generation.ts'

/** How a generation ends: the body of its finish event. */
export interface Finish {
  readonly reason: 'stop' | 'length' | 'abort'
  readonly stopId: number | null
}

/** What is known about a prompt token; the first one has nothing before it and so no probability. */
export type PromptScore = { readonly token: number; readonly logprobs: TokenLogprobs } | null

export class Sequence {
  readonly request: GenerationRequest
  readonly numPrompt: number
  /** Position from which on its adapter works; Infinity: it never does. */
  readonly activeFrom: number
  /** Most tokens it may generate: the request's maxTokens, cut to what fits the context. */
  readonly maxTokens: number
  /** Prompt and answer so far. */
  readonly tokens: number[]
  /** Where the device keeps its newest token while it runs; null while it waits. Set by the scheduler. */
  register: number | null = null
  /** Physical KV blocks in the order of its tokens, for each logical one as many as it has folds. Kept by the scheduler. */
  readonly blocks: number[] = []
  /** Planned steps with a span of it whose results have not come. */
  numStepsInFlight = 0
  /** Tokens that these draw: on the device they follow the ones known here. */
  numInFlight = 0
  /** Tokens whose keys and values are in the cache once every step planned so far has run. Moved by the scheduler. */
  numComputed = 0
  /** Of these, the tokens whose step has run. Moved by the scheduler. */
  numConfirmed = 0
  /** Tokens that it took over from the prefix cache when it was first admitted; null before. */
  numCached: number | null = null
  /** Steps in which a later arrival was admitted before it. Counted by the scheduler. */
  numPassedOver = 0
  /** Filled from the front, if prompt logprobs were asked for. */
  readonly promptScores: PromptScore[] = [null]
  readonly #stopIds: ReadonlySet<number>

  /** `contextLength`: the most tokens that prompt and answer may have together. */
  constructor(request: GenerationRequest, contextLength: number) {
    this.request = request
    this.numPrompt = request.prompt.length
    this.activeFrom = activationStart(request.prompt, request.adapter?.invocation ?? null)
    this.maxTokens = Math.min(request.maxTokens, contextLength - this.numPrompt)
    this.tokens = [...request.prompt]
    this.#stopIds = new Set(request.stopIds)
  }

  get numGenerated(): number {
    return this.tokens.length - this.numPrompt
  }

  /** Whether a step can compute anything for it now. */
  get isPlannable(): boolean {
    if (this.numPending === 0) return false
    if (this.maxTokens > 0 && this.numGenerated + this.numInFlight >= this.maxTokens) return false
    return this.numInFlight === 0 || !this.request.awaitsTokens
  }

  /** Admitted, and so an owner of blocks; else it waits. */
  get isRunning(): boolean {
    return this.blocks.length > 0
  }

  /** The adapter that it runs with: that of the request, unless its prompt does not invoke it. */
  get adapter(): AdapterLease | null {
    return this.activeFrom === Number.POSITIVE_INFINITY ? null : this.request.adapter
  }

  /** Names the layers that it runs: it shares steps only with sequences that run the same. The base's are ''. */
  get pass(): string {
    return this.adapter?.layers?.key ?? ''
  }

  /** Physical KV blocks for each logical one. */
  get numFolds(): number {
    return this.adapter?.layers?.numFolds ?? 1
  }

  /** False while its adapter is on its way to the GPU. */
  get isResident(): boolean {
    return this.slot !== null || this.adapter === null
  }

  /** Adapter pool slot, or null for the base model. */
  get slot(): number | null {
    return this.adapter?.slot ?? null
  }

  /** Tokens that must be computed before anything new can be drawn. Nothing follows from the last token of a prompt that is only scored. */
  get numWanted(): number {
    if (this.maxTokens > 0) return this.tokens.length + this.numInFlight
    return this.scoresPrompt ? this.numPrompt - 1 : 0
  }

  /** Tokens still to compute until then: 1 while it decodes. */
  get numPending(): number {
    return this.numWanted - this.numComputed
  }

  get scoresPrompt(): boolean {
    return this.request.promptLogprobs !== null
  }

  /** Whether every prompt token has its score. */
  get hasPromptScores(): boolean {
    return this.promptScores.length >= this.numPrompt
  }

  /** What is wanted of the logits of its next `count` tokens, in ascending row order. */
  logitsRows(count: number): LogitsRow[] {
    const rows: LogitsRow[] = []
    const { promptLogprobs, topLogprobs, sampling } = this.request
    for (let row = 0; row < count; row++) {
      const position = this.numComputed + row + 1 // of the token that these logits are about
      if (position === this.numWanted && this.maxTokens > 0) {
        const { stopIds } = this.request
        const want = { sample: sampling, position, banned: this.#banned(), stopIds, history: this }
        rows.push({ row, want, topLogprobs })
      } else if (this.scoresPrompt && position < this.numPrompt && position >= this.promptScores.length) {
        rows.push({ row, want: { score: this.tokens[position]! }, topLogprobs: promptLogprobs })
      }
    }
    return rows
  }

  /** A step is planned with `count` more of its tokens, drawing a token for each of `logits` that wants one. */
  planned(count: number, logits: readonly LogitsRow[]): void {
    this.numComputed += count
    this.numStepsInFlight++
    this.numInFlight += numDrawn(logits)
  }

  /** The result of such a step has come; what it drew is accepted next, unless the sequence has ended. */
  settled(logits: readonly LogitsRow[]): void {
    this.numStepsInFlight--
    this.numInFlight -= numDrawn(logits)
  }

  /** Takes the score of the next prompt token. */
  addPromptScore(token: number, logprobs: TokenLogprobs | null): void {
    invariant(token === this.tokens[this.promptScores.length], `Request ${this.request.id} got a score out of order`)
    invariant(logprobs !== null, `Request ${this.request.id} got a score without logprobs`)
    this.promptScores.push({ token, logprobs })
  }

  /** Takes a sampled token and says how the sequence ends with it, or null if it goes on. A stop token is not kept. */
  accept(token: number): Finish | null {
    if (this.#stopIds.has(token)) return { reason: 'stop', stopId: token }
    this.tokens.push(token)
    return this.numGenerated < this.maxTokens ? null : { reason: 'length', stopId: null }
  }

  #banned(): readonly number[] {
    return this.numGenerated + this.numInFlight < this.request.minTokens ? [...this.#stopIds] : []
  }
}

function numDrawn(logits: readonly LogitsRow[]): number {
  return logits.reduce((count, { want }) => count + ('sample' in want ? 1 : 0), 0)
}
