/** Text that grows. Whoever shows it takes what is new; nobody renders again what stands already. */
export class TextTap {
  #text: string
  readonly #listeners = new Set<() => void>()

  constructor(text = '') {
    this.#text = text
  }

  get text(): string {
    return this.#text
  }

  append(piece: string): void {
    if (piece === '') return
    this.#text += piece
    for (const listener of this.#listeners) listener()
  }

  /** Calls back after every change; returns what ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
