/** A conversation of several turns, in which every answer may be another voice's. */
import { computed, type ReadonlySignal, type Signal, signal } from '@preact/signals'
import { Answer } from '../app/answer.ts'
import type { Api } from '../engine/api.ts'
import type { Ask, PromptStyle, Turn } from '../engine/request.ts'

/** What was said, and what came back. */
export interface Exchange {
  readonly id: number
  readonly said: string
  readonly answer: Answer
}

export interface TalkStage {
  readonly api: () => Api | null
  readonly style: ReadonlySignal<PromptStyle>
  /** Longest prompt and answer together, in tokens. */
  readonly contextLength: ReadonlySignal<number>
  readonly onAsk: () => void
}

const MEASURE_MS = 250

export class Talk {
  readonly exchanges: Signal<readonly Exchange[]> = signal<readonly Exchange[]>([])
  /** Who answers next. */
  readonly voice: Signal<string> = signal('')
  readonly systemPrompt: Signal<string> = signal('')
  readonly temperature: Signal<number> = signal(0.8)
  readonly maxTokens: Signal<number> = signal(120)
  readonly isAnswering: ReadonlySignal<boolean>
  readonly #stage: TalkStage
  readonly #running: Signal<AbortController | null> = signal<AbortController | null>(null)
  #nextId = 0

  constructor(stage: TalkStage) {
    this.#stage = stage
    this.isAnswering = computed(() => this.#running.value !== null)
  }

  /** What would be asked if `said` were said now. */
  askFor(said: string, seed: number): Ask {
    const turns: Turn[] = []
    if (this.systemPrompt.value.trim() !== '') turns.push({ role: 'system', content: this.systemPrompt.value })
    for (const { said, answer } of this.exchanges.value) {
      // What failed or was never begun is left out with its question: the model would take the silence for an answer.
      if (answer.state.value.type === 'failed' || answer.text.text === '') continue
      turns.push({ role: 'user', content: said }, { role: 'assistant', content: answer.text.text })
    }
    turns.push({ role: 'user', content: said })
    const contextLength = this.#stage.contextLength.value
    const maxTokens = Math.min(this.maxTokens.value, Math.floor(contextLength / 2))
    const style = this.#stage.style.value
    return {
      model: this.voice.value,
      style,
      turns,
      maxTokens,
      temperature: this.temperature.value,
      seed,
      // Who writes a passage needs its end. A dialogue cut in the middle would be another one: that is refused in words.
      ...(style === 'passage' && { mostPromptTokens: contextLength - maxTokens }),
    }
  }

  /** Says `said`, and resolves when the answer has ended. */
  async say(said: string): Promise<void> {
    const api = this.#stage.api()
    if (!api || this.isAnswering.value || said.trim() === '') return
    const running = new AbortController()
    this.#running.value = running
    const seed = Math.floor(Math.random() * 2 ** 31)
    const answer = new Answer(this.voice.value, this.askFor(said, seed))
    this.exchanges.value = [...this.exchanges.value, { id: this.#nextId++, said, answer }]
    this.#stage.onAsk()
    const timer = setInterval(() => answer.measure(), MEASURE_MS)
    try {
      await answer.receive(api, running.signal)
    } finally {
      clearInterval(timer)
      this.#running.value = null
    }
  }

  /** Forgets from this exchange on, and says `said` in its place: its own words for another answer. */
  async again(id: number, said?: string): Promise<void> {
    const index = this.exchanges.value.findIndex((exchange) => exchange.id === id)
    const exchange = this.exchanges.value[index]
    if (!exchange || this.isAnswering.value) return
    this.exchanges.value = this.exchanges.value.slice(0, index)
    await this.say(said ?? exchange.said)
  }

  stop(): void {
    this.#running.value?.abort()
  }

  clear(): void {
    this.stop()
    this.exchanges.value = []
  }
}
