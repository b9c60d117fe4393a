/** One answer of one voice: its text as it comes, how fast it comes, and how it ended. */
import { type Signal, signal } from '@preact/signals'
import { RateMeter } from '../chorus/rate.ts'
import type { Api } from '../engine/api.ts'
import { wordsOf } from '../engine/apiError.ts'
import type { Ask } from '../engine/request.ts'
import { TextTap } from './textTap.ts'

export type AnswerState =
  /** `queued`: the browser has no connection left for it yet. */
  | { readonly type: 'queued' }
  | { readonly type: 'waiting' }
  | { readonly type: 'speaking' }
  | { readonly type: 'ended'; readonly how: 'stop' | 'length' | 'stopped' }
  | { readonly type: 'failed'; readonly message: string }

export class Answer {
  readonly voice: string
  readonly ask: Ask
  readonly text: TextTap = new TextTap()
  readonly state: Signal<AnswerState> = signal<AnswerState>({ type: 'queued' })
  /** Change at most a few times a second: see `measure`. */
  readonly numTokens: Signal<number> = signal(0)
  readonly perSecond: Signal<number> = signal(0)
  /** From asking to the first text. */
  readonly firstMs: Signal<number | null> = signal<number | null>(null)
  readonly #meter = new RateMeter()
  readonly #now: () => number
  #count = 0

  constructor(voice: string, ask: Ask, now: () => number = () => performance.now()) {
    this.voice = voice
    this.ask = ask
    this.#now = now
  }

  get isOpen(): boolean {
    const { type } = this.state.value
    return type !== 'ended' && type !== 'failed'
  }

  /** Brings the answer. Never rejects: what goes wrong is the state. */
  async receive(api: Api, signal: AbortSignal): Promise<void> {
    if (signal.aborted) {
      this.state.value = { type: 'ended', how: 'stopped' }
      return
    }
    this.state.value = { type: 'waiting' }
    const askedAt = this.#now()
    let how: 'stop' | 'length' = 'stop'
    try {
      for await (const { text, numTokens, finishReason } of api.ask(this.ask, signal)) {
        const at = this.#now()
        if (text !== '' && this.firstMs.value === null) {
          this.firstMs.value = at - askedAt
          this.state.value = { type: 'speaking' }
        }
        this.#count = numTokens ?? (text === '' ? this.#count : this.#count + 1)
        if (text !== '') this.#meter.add(this.#count, at)
        if (finishReason === 'length') how = 'length'
        this.text.append(text)
      }
      this.state.value = { type: 'ended', how }
    } catch (error) {
      this.state.value = signal.aborted
        ? { type: 'ended', how: 'stopped' }
        : { type: 'failed', message: wordsOf(error) }
    } finally {
      this.measure()
    }
  }

  /** Brings the figures up to date: those of now while it speaks, the average when it has ended. */
  measure(): void {
    this.numTokens.value = this.#count
    this.perSecond.value = this.isOpen ? this.#meter.now(this.#now()) : this.#meter.average
  }
}
