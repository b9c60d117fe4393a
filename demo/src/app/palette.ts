/**
 * The colours of the voices. A lorikeet's plumage, in the order in which the eye meets it; the base has no adapter and so
 * no colour. A voice keeps its colour as long as the page is open, in the chorus, the strip, the charts and the shelf.
 */

/** In oklch. */
export interface Plume {
  readonly lightness: number
  readonly chroma: number
  readonly hue: number
}

export const BASE_PLUME: Plume = { lightness: 0.72, chroma: 0.015, hue: 285 }

/** Neighbours differ in hue and in lightness, so that they are told apart by most eyes and in grey. */
export const PLUMAGE: readonly Plume[] = [
  { lightness: 0.6, chroma: 0.19, hue: 268 },
  { lightness: 0.7, chroma: 0.19, hue: 48 },
  { lightness: 0.62, chroma: 0.16, hue: 150 },
  { lightness: 0.58, chroma: 0.21, hue: 18 },
  { lightness: 0.82, chroma: 0.165, hue: 92 },
  { lightness: 0.68, chroma: 0.12, hue: 215 },
  { lightness: 0.62, chroma: 0.2, hue: 325 },
  { lightness: 0.8, chroma: 0.18, hue: 125 },
  { lightness: 0.5, chroma: 0.17, hue: 300 },
  { lightness: 0.76, chroma: 0.11, hue: 185 },
]

/** Behind the last plume they come again, each time turned by half the distance between two. */
export function plume(index: number): Plume {
  const { lightness, chroma, hue } = PLUMAGE[index % PLUMAGE.length]!
  const turn = Math.floor(index / PLUMAGE.length)
  return { lightness, chroma, hue: (hue + turn * 17) % 360 }
}

export function cssColor({ lightness, chroma, hue }: Plume, alpha = 1): string {
  return `oklch(${lightness} ${chroma} ${hue}${alpha < 1 ? ` / ${alpha}` : ''})`
}

/** Gives out plumes by name, first come first served; a voice that has gone leaves its own for the next. */
export class Plumes {
  readonly #indices = new Map<string, number>()

  /** The voices there are now; null stands for the base. */
  keep(names: readonly string[]): void {
    for (const name of this.#indices.keys()) if (!names.includes(name)) this.#indices.delete(name)
    for (const name of names) this.of(name)
  }

  of(name: string | null): Plume {
    if (name === null) return BASE_PLUME
    let index = this.#indices.get(name)
    if (index === undefined) {
      const taken = new Set(this.#indices.values())
      for (index = 0; taken.has(index); ) index++
      this.#indices.set(name, index)
    }
    return plume(index)
  }
}
