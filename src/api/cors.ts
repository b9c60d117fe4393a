/** CORS (https://fetch.spec.whatwg.org/#http-cors-protocol): which pages of other origins may read answers, and what of them. */

/** Headers that pages may read besides those that they always may. */
const EXPOSED = 'x-request-id, x-lorikeet-ignored, retry-after'
const METHODS = 'GET, HEAD, POST'
/** Seconds for which a browser need not ask again. */
const MAX_AGE = '3600'

export class Cors {
  readonly #origins: readonly string[]

  /** @param origins `*` is all of them */
  constructor(origins: readonly string[]) {
    this.#origins = origins
  }

  /** The answer to a browser that asks first, which it does without a key. */
  preflight(request: Request): Response {
    const response = new Response(null, { status: 204 })
    const { headers } = response
    this.open(request, response)
    headers.set('access-control-max-age', MAX_AGE)
    headers.set('access-control-allow-methods', METHODS)
    const wanted = request.headers.get('access-control-request-headers')
    if (wanted) {
      headers.set('access-control-allow-headers', wanted)
      headers.append('vary', 'Access-Control-Request-Headers')
    }
    return response
  }

  /** Lets the page that sent `request` read `response`, if its origin may. */
  open(request: Request, { headers }: Response): void {
    const isForAll = this.#origins.includes('*')
    const origin = request.headers.get('origin')
    if (isForAll) headers.set('access-control-allow-origin', '*')
    else if (origin !== null && this.#origins.includes(origin)) headers.set('access-control-allow-origin', origin)
    headers.set('access-control-expose-headers', EXPOSED)
    if (!isForAll) headers.append('vary', 'Origin')
  }
}
