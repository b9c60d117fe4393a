/** One prompt, every chosen voice: their answers are asked for at once, so that the engine has them in one batch. */
import { computed, type ReadonlySignal, type Signal, signal } from '@preact/signals'
import { Answer } from '../app/answer.ts'
import type { Api } from '../engine/api.ts'
import type { Ask, BlendPart, PromptStyle } from '../engine/request.ts'
import type { Voice } from '../engine/types.ts'

/** Two voices in one, and how much of each: 0 is all the first, 1 all the second. */
export interface Blend {
  readonly first: string
  readonly second: string
  readonly balance: number
}

export interface ChorusStage {
  readonly api: () => Api | null
  readonly voices: ReadonlySignal<readonly Voice[]>
  readonly style: ReadonlySignal<PromptStyle>
  readonly maxStreams: () => number
  /** Called when an answer is asked for. */
  readonly onAsk: () => void
}

/** More columns than this are for those who ask for them. */
const UNASKED_VOICES = 8
/** The figures on the page change this often. */
const MEASURE_MS = 250

export class Chorus {
  readonly prompt: Signal<string> = signal('')
  readonly temperature: Signal<number> = signal(0.8)
  readonly maxTokens: Signal<number> = signal(80)
  readonly seed: Signal<number> = signal(1)
  /** A new seed is drawn for each run. */
  readonly drawsSeed: Signal<boolean> = signal(true)
  /** Voices that the reader called in or sent out; of the others the first few sing. */
  readonly wishes: Signal<ReadonlyMap<string, boolean>> = signal<ReadonlyMap<string, boolean>>(new Map())
  readonly blend: Signal<Blend | null> = signal<Blend | null>(null)
  /** The answers of the last run, or of the one under way. */
  readonly answers: Signal<readonly Answer[]> = signal<readonly Answer[]>([])
  readonly isRunning: Signal<boolean> = signal(false)
  /** Of all voices together. */
  readonly perSecond: Signal<number> = signal(0)
  readonly numTokens: Signal<number> = signal(0)
  readonly elapsedMs: Signal<number> = signal(0)
  readonly singers: ReadonlySignal<readonly Voice[]>
  readonly #stage: ChorusStage
  #running: AbortController | null = null

  constructor(stage: ChorusStage) {
    this.#stage = stage
    this.singers = computed(() =>
      stage.voices.value.filter(({ id }, index) => this.wishes.value.get(id) ?? index < UNASKED_VOICES),
    )
  }

  sings(voice: string): boolean {
    return this.singers.value.some(({ id }) => id === voice)
  }

  toggle(voice: string): void {
    this.wishes.value = new Map(this.wishes.value).set(voice, !this.sings(voice))
  }

  /** What would be asked of each voice now, in the order of the columns. */
  asks(): readonly { readonly voice: string; readonly ask: Ask }[] {
    const common = {
      style: this.#stage.style.value,
      turns: [{ role: 'user', content: this.prompt.value }] as const,
      maxTokens: this.maxTokens.value,
      temperature: this.temperature.value,
      seed: this.seed.value,
    }
    const asks = this.singers.value.map(({ id }) => ({ voice: id, ask: { ...common, model: id } }))
    const base = this.#stage.voices.value.find(({ parent }) => parent === null)
    const blend = this.blend.value
    if (!blend || !base) return asks
    const ask = { ...common, model: base.id, blend: blendParts(blend) }
    return [...asks, { voice: blendName(blend), ask }]
  }

  /** Resolves when every voice has ended. */
  async sing(): Promise<void> {
    const api = this.#stage.api()
    if (!api || this.isRunning.value || this.prompt.value.trim() === '') return
    if (this.drawsSeed.value) this.seed.value = Math.floor(Math.random() * 2 ** 31)
    const running = new AbortController()
    this.#running = running
    const answers = this.asks().map(({ voice, ask }) => new Answer(voice, ask))
    this.answers.value = answers
    this.isRunning.value = true
    this.#stage.onAsk()
    const startedAt = performance.now()
    const measure = (): void => {
      for (const answer of answers) if (answer.isOpen) answer.measure()
      this.perSecond.value = sumOf(answers, ({ isOpen, perSecond }) => (isOpen ? perSecond.value : 0))
      this.numTokens.value = sumOf(answers, ({ numTokens }) => numTokens.value)
      this.elapsedMs.value = performance.now() - startedAt
    }
    const timer = setInterval(measure, MEASURE_MS)
    try {
      await inTurns(answers, this.#stage.maxStreams(), (answer) => answer.receive(api, running.signal))
    } finally {
      clearInterval(timer)
      measure()
      this.perSecond.value = (this.numTokens.value * 1000) / Math.max(1, this.elapsedMs.value)
      this.isRunning.value = false
      this.#running = null
    }
  }

  stop(): void {
    this.#running?.abort()
  }
}

export function blendParts({ first, second, balance }: Blend): readonly BlendPart[] {
  const parts = [
    { name: first, scale: round(1 - balance) },
    { name: second, scale: round(balance) },
  ]
  // A part of nothing is none; and both ends of the slider are one adapter alone.
  return parts.filter(({ scale }) => scale > 0)
}

export function blendName({ first, second }: Blend): string {
  return `${first} × ${second}`
}

function round(scale: number): number {
  return Math.round(scale * 100) / 100
}

function sumOf<Item>(items: readonly Item[], value: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0)
}

/** Runs `work` on all items, at most `most` at the same time, in their order. */
async function inTurns<Item>(items: readonly Item[], most: number, work: (item: Item) => Promise<void>): Promise<void> {
  const rest = [...items]
  const worker = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, worker))
}
