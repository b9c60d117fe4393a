/** Requests for ranges of one file behind HTTP: what may be answered, what another try may cure, what is an error. */
import { abortReason } from '../errors.ts'
import { fillFromStream, SourceError } from './source.ts'

export interface UrlOptions {
  readonly signal?: AbortSignal
  /** Sent with every request, such as an authorization. */
  readonly headers?: Readonly<Record<string, string>>
  /** Stands in for the global fetch. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>
  /** How often a request that failed in the network is made again (default 3), and the first pause (default 250 ms). */
  readonly retries?: number
  readonly backoffMs?: number
  /** Largest file to take whole from a server that ignores ranges. Default 32 MiB. */
  readonly maxWholeBytes?: number
}

/** A failure that another try may cure. `retrying` turns it into a SourceError in the end. */
export class NetworkFailure extends Error {}

export class RangeClient {
  readonly name: string
  readonly #url: string
  readonly #options: UrlOptions

  constructor(url: string | URL, options: UrlOptions) {
    const parsed = new URL(url)
    this.#url = parsed.href
    // Queries of signed addresses are secrets: they stay out of messages.
    this.name = parsed.origin + parsed.pathname
    this.#options = options
  }

  /** Runs `attempt`, again after a growing pause where the network failed. */
  async retrying<T>(signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
    const { retries = 3, backoffMs = 250 } = this.#options
    for (let tries = 0; ; tries++) {
      try {
        return await attempt()
      } catch (error) {
        if (signal?.aborted) throw abortReason(signal)
        if (!(error instanceof NetworkFailure)) throw error
        if (tries >= retries) {
          const message = `${this.name} could not be fetched (${tries + 1} tries): ${error.message}. Check the address and the network.`
          throw new SourceError('file_unreadable', this.name, message, { cause: error.cause })
        }
        await pause(backoffMs * 2 ** tries, signal)
      }
    }
  }

  /** Asks for `length` bytes from `offset`, or for all the rest. Answers 200, 206 or 416; any other status is thrown. */
  async request(offset: number, length: number | null, signal?: AbortSignal): Promise<Response> {
    const last = length === null ? '' : offset + length - 1
    const headers = { ...this.#options.headers, range: `bytes=${offset}-${last}` }
    const send = this.#options.fetch ?? fetch
    let response: Response
    try {
      response = await send(this.#url, signal ? { headers, signal } : { headers })
    } catch (cause) {
      throw new NetworkFailure(describe(cause), { cause })
    }
    if (response.status === 200 || response.status === 206 || response.status === 416) return response
    void response.body?.cancel().catch(() => {})
    const gone = response.status === 404 || response.status === 410
    const message = gone ? `There is no file at ${this.name}` : `${this.name} answered ${response.status}`
    throw new SourceError(gone ? 'file_not_found' : 'file_unreadable', this.name, `${message}.`)
  }

  /** Fills `target` with exactly the body; a body cut short counts as a failure of the network. */
  async fillFromBody(
    response: Response,
    target: Uint8Array,
    offset: number,
    signal?: AbortSignal,
    onFilled?: (filled: number) => void,
  ): Promise<void> {
    let got = 0
    try {
      if (response.body) got = await fillFromStream(response.body, target, signal, onFilled)
    } catch (cause) {
      throw new NetworkFailure(describe(cause), { cause })
    }
    if (got < target.byteLength) throw new NetworkFailure(`${got} of ${target.byteLength} bytes arrived`)
    if (got > target.byteLength) throw this.badRange(response, offset, target.byteLength)
  }

  contentRange(response: Response): { start: number; end: number; total: number } {
    const header = response.headers.get('content-range')
    const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(header ?? '')
    const [start, end, total] = (match ?? []).slice(1).map(Number)
    if (start !== undefined && end !== undefined && total !== undefined && end < total && Number.isSafeInteger(total)) {
      return { start, end, total }
    }
    void response.body?.cancel().catch(() => {})
    const message =
      header === null
        ? `${this.name} answered a range without a Content-Range header. From another origin the server must send "Access-Control-Expose-Headers: Content-Range".`
        : `${this.name} answered with Content-Range ${JSON.stringify(header)}, which does not say where the bytes lie.`
    throw new SourceError('file_unreadable', this.name, message)
  }

  badRange(response: Response, start: number, length: number): SourceError {
    void response.body?.cancel().catch(() => {})
    const message = `${this.name} answered with other bytes than asked: wanted ${length} from ${start}, got ${response.headers.get('content-range')}.`
    return new SourceError('file_unreadable', this.name, message)
  }
}

/** What a failed fetch says of its cause. */
export function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  return cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message
}

async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const aborted = (): void => {
      clearTimeout(timer)
      reject(abortReason(signal!))
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', aborted)
      resolve()
    }, ms)
    signal?.addEventListener('abort', aborted, { once: true })
  })
}
