/** The scales of adapters for requests that name none: all 0 until somebody sets them. */
import type { AdapterWeight } from '../lora/composition.ts'

interface NumberedAdapter {
  readonly id: number
  readonly name: string
}

/** Of the adapters by id, since a name may come again for another one; an adapter that goes takes its scale along. */
export class DefaultScales {
  #scales: ReadonlyMap<number, number> = new Map()

  scaleOf(id: number): number {
    return this.#scales.get(id) ?? 0
  }

  /** Of those that are there and not at 0. */
  weights(adapters: { list(): readonly NumberedAdapter[] }): readonly AdapterWeight[] {
    if (this.#scales.size === 0) return []
    const all = adapters.list().map(({ id, name }) => ({ name, scale: this.scaleOf(id) }))
    return all.filter(({ scale }) => scale !== 0)
  }

  /** In place of all that were set before. */
  set(adapters: { find(name: string): NumberedAdapter | null }, weights: readonly AdapterWeight[]): void {
    const scales = weights.flatMap(({ name, scale }) => {
      const found = adapters.find(name)
      return found ? [[found.id, scale] as const] : []
    })
    this.#scales = new Map(scales)
  }
}
