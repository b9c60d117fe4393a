/** How many responses of which status each route gave. */
import type { Sample } from './metricsText.ts'

export class ResponseCounts {
  /** By "status route": a bounded number, since routes are those of the handler. */
  readonly #counts = new Map<string, number>()

  add(route: string, status: number): void {
    const key = `${status} ${route}`
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  samples(): Sample[] {
    return [...this.#counts].map(([key, count]) => {
      const [status, route] = key.split(' ') as [string, string]
      return [{ route, status }, count]
    })
  }
}
