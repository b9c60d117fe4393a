/** How often text that grows is rendered as a whole again: seldom enough that rendering stays a small part of the time. */

const LEAST_MS = 120
/** Rendering may take a twelfth of the time. */
const SHARE = 12

export class RenderPace {
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #render: () => void
  #lastMs = 0

  constructor(render: () => void) {
    this.#render = render
  }

  /** There is something new to render. */
  ask(): void {
    this.#timer ??= setTimeout(() => this.now(), Math.max(LEAST_MS, this.#lastMs * SHARE))
  }

  now(): void {
    this.stop()
    const startedAt = performance.now()
    this.#render()
    this.#lastMs = performance.now() - startedAt
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
