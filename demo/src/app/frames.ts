/**
 * Work on the document, at most once a frame each: what streams write is gathered here and put on the page together, so
 * that many streams cost one layout.
 */
export class Frames {
  readonly #due = new Set<() => void>()
  readonly #request: (callback: () => void) => void
  #isRequested = false

  constructor(request: (callback: () => void) => void = (callback) => void requestAnimationFrame(callback)) {
    this.#request = request
  }

  /** Runs `paint` in the next frame, once however often it is asked for. */
  ask(paint: () => void): void {
    this.#due.add(paint)
    if (this.#isRequested) return
    this.#isRequested = true
    this.#request(() => {
      this.#isRequested = false
      const due = [...this.#due]
      this.#due.clear()
      for (const each of due) each()
    })
  }
}
