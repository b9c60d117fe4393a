/** What the page knows: the voices, the talk so far, the answer under way. Components read it, and call its verbs. */
import { computed, type ReadonlySignal, type Signal, signal } from '@preact/signals'
import { type Client, ServerError, type Turn, type Voice } from './client.ts'

/** One line of the talk; an answer's fields change while it comes. */
export interface Line {
  readonly id: number
  readonly role: 'user' | 'assistant'
  /** Who answered. */
  readonly voice: string
  readonly text: Signal<string>
  readonly state: Signal<LineState>
}

export type LineState =
  | { readonly type: 'coming' }
  | { readonly type: 'whole'; readonly note: string }
  | { readonly type: 'failed'; readonly message: string }

export class Conversation {
  readonly voices: Signal<readonly Voice[]> = signal([])
  readonly voice: Signal<string> = signal('')
  readonly lines: Signal<readonly Line[]> = signal([])
  readonly hasChat: Signal<boolean> = signal(true)
  /** What keeps the page from working at all, or null. */
  readonly problem: Signal<{ readonly message: string; readonly needsKey: boolean } | null> = signal(null)
  readonly isReady: Signal<boolean> = signal(false)
  readonly systemPrompt: Signal<string> = signal('')
  readonly maxTokens: Signal<number> = signal(256)
  /** Longest answer that leaves half of the context to the talk. */
  readonly mostTokens: ReadonlySignal<number>
  readonly temperature: Signal<number> = signal(0.7)
  readonly isAnswering: ReadonlySignal<boolean>
  readonly #client: Client
  readonly #running: Signal<AbortController | null> = signal(null)
  #nextId = 0

  constructor(client: Client) {
    this.#client = client
    this.isAnswering = computed(() => this.#running.value !== null)
    this.mostTokens = computed(() => {
      const context = this.voices.value.find(({ parent }) => parent === null)?.contextLength ?? 2048
      return Math.min(1024, Math.floor(context / 2))
    })
  }

  /** Asks the server who is there. Never rejects: what goes wrong is `problem`. */
  async connect(apiKey: string): Promise<void> {
    this.#client.apiKey = apiKey
    try {
      this.voices.value = await this.#client.voices()
      this.hasChat.value = await this.#client.hasChat()
      this.voice.value ||= this.voices.value[0]?.id ?? ''
      this.problem.value = null
      this.isReady.value = true
    } catch (error) {
      this.problem.value = {
        message: messageOf(error),
        needsKey: error instanceof ServerError && error.status === 401,
      }
    }
  }

  /** Says `text` and brings the answer, piece by piece. */
  async say(text: string): Promise<void> {
    if (this.isAnswering.value || text.trim() === '') return
    const running = new AbortController()
    this.#running.value = running
    const voice = this.voice.value
    const turns = this.#turns(text)
    const answer = this.#line('assistant', voice, '', { type: 'coming' })
    this.lines.value = [...this.lines.value, this.#line('user', voice, text, { type: 'whole', note: '' }), answer]
    try {
      answer.state.value = { type: 'whole', note: await this.#receive(answer, turns, running.signal) }
    } catch (error) {
      answer.state.value = running.signal.aborted
        ? { type: 'whole', note: 'stopped' }
        : { type: 'failed', message: messageOf(error) }
    } finally {
      this.#running.value = null
    }
  }

  stop(): void {
    this.#running.value?.abort()
  }

  clear(): void {
    this.stop()
    this.lines.value = []
  }

  /** Fills the line; returns a note on how it went. */
  async #receive(line: Line, turns: readonly Turn[], signal: AbortSignal): Promise<string> {
    let firstAt = 0
    let isCut = false
    let numTokens = 0
    const pieces = this.#client.ask({
      voice: line.voice,
      turns,
      hasChat: this.hasChat.value,
      maxTokens: Math.min(this.maxTokens.value, this.mostTokens.value),
      temperature: this.temperature.value,
      signal,
    })
    for await (const piece of pieces) {
      if (piece.type === 'text') {
        firstAt ||= performance.now()
        line.text.value += piece.text
      } else if (piece.type === 'end') isCut = piece.reason === 'length'
      else numTokens = piece.completionTokens
    }
    const seconds = (performance.now() - firstAt) / 1000
    const speed = numTokens > 1 && seconds > 0 ? `, ${((numTokens - 1) / seconds).toFixed(1)} a second` : ''
    return `${numTokens} tokens${speed}${isCut ? ', cut at the limit' : ''}`
  }

  /** The talk as the model gets it; answers that failed or were never begun are left out with their questions. */
  #turns(text: string): readonly Turn[] {
    const turns: Turn[] = []
    if (this.systemPrompt.value.trim() !== '') turns.push({ role: 'system', content: this.systemPrompt.value })
    const lines = this.lines.value
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const [question, answer] = [lines[i]!, lines[i + 1]!]
      if (answer.state.value.type === 'failed' || answer.text.value === '') continue
      turns.push({ role: 'user', content: question.text.value }, { role: 'assistant', content: answer.text.value })
    }
    return [...turns, { role: 'user', content: text }]
  }

  #line(role: Line['role'], voice: string, text: string, state: LineState): Line {
    return { id: this.#nextId++, role, voice, text: signal(text), state: signal(state) }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
