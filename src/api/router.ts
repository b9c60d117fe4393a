/** Finds the route of a request. There are two dozen, all but one with fixed paths, so a map is all it takes. */

export interface Route<Answer> {
  /** As it was added; counted under this name. */
  readonly path: string
  readonly answers: ReadonlyMap<string, Answer>
}

export interface Found<Answer> {
  readonly route: Route<Answer>
  /** What `*` stands for, decoded. */
  readonly rest: string
}

export class Router<Answer> {
  readonly #whole = new Map<string, Route<Answer>>()
  /** By what stands before the `*`. */
  readonly #below = new Map<string, Route<Answer>>()

  /** @param path a whole one, or one that ends in `/*`: all below. @param answers by method; HEAD goes with GET. */
  add(path: string, answers: Readonly<Record<string, Answer>>): void {
    const route = { path, answers: new Map(Object.entries(answers)) }
    if (path.endsWith('*')) this.#below.set(path.slice(0, -1), route)
    else this.#whole.set(path, route)
  }

  /** Null where there is nothing. Whole paths come first. */
  find(path: string): Found<Answer> | null {
    const route = this.#whole.get(path)
    if (route) return { route, rest: '' }
    for (const [start, below] of this.#below) {
      if (path.startsWith(start) && path.length > start.length)
        return { route: below, rest: decoded(path.slice(start.length)) }
    }
    return null
  }
}

/** What answers a request of this method. */
export function answerTo<Answer>({ answers }: Route<Answer>, method: string): Answer | null {
  return answers.get(method === 'HEAD' ? 'GET' : method) ?? null
}

/** The methods of a route, as `Allow` lists them. */
export function allowed({ answers }: Route<unknown>): string {
  return [...answers.keys()].map((method) => (method === 'GET' ? 'GET, HEAD' : method)).join(', ')
}

/** A path as it was meant, or as it is where it is not encoded as paths are. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
