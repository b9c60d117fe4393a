/** Short ways to make engine requests and to read generations, for tests. */

import type { SamplingParams } from '../../src/engine/batch.ts'
import type { AdapterLease, Generation, GenerationEvent, GenerationRequest } from '../../src/engine/generation.ts'
import type { LayerList } from '../../src/model/layerList.ts'

export const GREEDY: SamplingParams = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

/** A greedy request to the base model for four tokens without any stop id. */
export function request(overrides: Partial<GenerationRequest> = {}): GenerationRequest {
  return {
    id: 'test',
    prompt: [3, 1, 4, 1, 5],
    adapter: null,
    sampling: GREEDY,
    maxTokens: 4,
    minTokens: 0,
    stopIds: [],
    topLogprobs: null,
    promptLogprobs: null,
    signal: null,
    ...overrides,
  }
}

/** A lease that counts how often it is released, watches how it is pinned, and whose adapter may come later. */
export class FakeLease implements AdapterLease {
  readonly name: string
  readonly digest: string
  readonly ready: Promise<void>
  readonly layers: LayerList | null
  slot: number | null = null
  numReleases = 0
  isPinned = false
  /** Whether its bytes are still being read. */
  isRead = false
  #resolve: () => void = () => {}
  #reject: (error: Error) => void = () => {}

  constructor(name: string, slot: number | null = null, layers: LayerList | null = null) {
    this.name = name
    this.layers = layers
    this.digest = `digest of ${name}`
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.ready.catch(() => {})
    if (slot !== null) this.arrive(slot)
  }

  arrive(slot: number): void {
    this.slot = slot
    this.#resolve()
  }

  fail(error: Error): void {
    this.#reject(error)
  }

  pin(): void {
    if (this.slot === null || this.isPinned) throw new Error(`${this.name} cannot be pinned now`)
    this.isPinned = true
  }

  unpin(): void {
    if (!this.isPinned) throw new Error(`${this.name} is not pinned`)
    this.isPinned = false
  }

  release(): void {
    if (this.isPinned) throw new Error(`${this.name} is released while it is pinned`)
    this.numReleases++
  }
}

/** What a reader saw of a generation: its events, and the error it ended with, if it did. */
export interface Reading {
  readonly events: GenerationEvent[]
  error: unknown
  hasEnded: boolean
}

/** Starts to read; the reading fills up as events come, and `done` resolves when no more do. */
export function read(generation: Generation): Reading & { readonly done: Promise<void> } {
  const reading: Reading = { events: [], error: null, hasEnded: false }
  const run = async (): Promise<void> => {
    try {
      for await (const event of generation) reading.events.push(event)
    } catch (error) {
      reading.error = error
    }
    reading.hasEnded = true
  }
  return Object.assign(reading, { done: run() })
}

export function tokensOf(events: readonly GenerationEvent[]): number[] {
  return events.flatMap((event) => (event.type === 'token' ? [event.token] : []))
}
