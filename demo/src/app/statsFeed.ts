/**
 * Asks the engine what it has done, often while it works and seldom while it rests, and not at all while nobody looks.
 * The strip and the charts show what comes of it.
 */
import { type Signal, signal } from '@preact/signals'
import type { Api } from '../engine/api.ts'
import type { Device, Stats } from '../engine/types.ts'
import { StepLog } from '../strip/steps.ts'

const BUSY_MS = 150
const IDLE_MS = 1500
/** Without news for so long the engine rests. */
const REST_AFTER_MS = 3000

export class StatsFeed {
  readonly log: StepLog = new StepLog()
  /** Counts the answers that brought steps: what draws them listens to it. */
  readonly news: Signal<number> = signal(0)
  readonly memory: Signal<Readonly<Record<string, number>>> = signal({})
  readonly device: Signal<Device | null> = signal<Device | null>(null)
  /** The server answers; `no` where it is of a kind that does not. */
  readonly isTold: Signal<boolean> = signal(true)
  #api: Api | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #lastNewsAt = -Infinity
  #isAsking = false

  /** Follows another engine, or none. */
  follow(api: Api | null): void {
    clearTimeout(this.#timer)
    this.#api = api
    this.log.clear()
    this.news.value++
    this.memory.value = {}
    this.device.value = null
    this.isTold.value = true
    if (api) void this.#ask()
  }

  /** There will be news soon. */
  wake(): void {
    this.#lastNewsAt = performance.now()
    if (!this.#api || this.#isAsking) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#ask(), 0)
  }

  /** Takes what the engine said. */
  take({ steps, memory, device }: Stats): void {
    const last = this.log.last
    if (last && steps.total <= last.step) this.log.clear()
    if (this.log.add(steps.recent) > 0) {
      this.#lastNewsAt = performance.now()
      this.news.value++
    }
    this.memory.value = memory
    if (this.device.value?.name !== device.name) this.device.value = device
  }

  async #ask(): Promise<void> {
    const api = this.#api
    if (!api || this.#isAsking) return
    this.#isAsking = true
    try {
      const stats = isHidden() ? undefined : await api.stats(this.log.last?.step ?? -1)
      if (api === this.#api && stats !== undefined) {
        this.isTold.value = stats !== null
        if (stats) this.take(stats)
      }
    } catch {
      // The answers themselves say what is wrong; the next question may find the server again.
    } finally {
      this.#isAsking = false
      const isBusy = performance.now() - this.#lastNewsAt < REST_AFTER_MS
      if (this.#api) this.#timer = setTimeout(() => void this.#ask(), isBusy ? BUSY_MS : IDLE_MS)
    }
  }
}

function isHidden(): boolean {
  return typeof document === 'object' && document.hidden
}
