/**
 * A file behind HTTP, read by ranges. A server may ignore ranges, lie about them, hide their header from a page, or
 * change the file between two of them; each is noticed here, and nothing large is ever fetched twice.
 */
import { abortReason } from '../errors.ts'
import { bytesSource, fillFromStream, type RandomAccess, Source, SourceError, streamPieces } from './source.ts'

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

/** Read when opening, kept while open: small files and headers then cost one request. */
const HEAD_BYTES = 64 * 1024
const MAX_WHOLE_BYTES = 32 * 1024 * 1024

/** Opens the file at `url` with one range request. Throws SourceError. */
export async function openUrl(url: string | URL, options: UrlOptions = {}): Promise<RandomAccess> {
  const client = new RangeClient(url, options)
  return await client.retrying(options.signal, async () => {
    const response = await client.request(0, HEAD_BYTES, options.signal)
    if (response.status === 200) return await takeWhole(client, response, options)
    if (response.status === 416) return emptyFile(client, response)
    const range = client.contentRange(response)
    const length = Math.min(HEAD_BYTES, range.total)
    if (range.start !== 0 || range.end !== length - 1) throw client.badRange(response, 0, length)
    const head = new Uint8Array(length)
    await client.fillFromBody(response, head, 0, options.signal)
    return new UrlSource(client, range.total, head, response.headers.get('etag'))
  })
}

class UrlSource extends Source {
  readonly #client: RangeClient
  readonly #etag: string | null
  #head: Uint8Array | null

  constructor(client: RangeClient, size: number, head: Uint8Array, etag: string | null) {
    super(client.name, size)
    this.#client = client
    this.#head = head
    this.#etag = etag
  }

  protected async fill(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    const known = this.#head!.subarray(offset, offset + target.byteLength)
    target.set(known)
    let filled = known.byteLength
    await this.#client.retrying(signal, async () => {
      if (filled === target.byteLength) return
      const rest = target.subarray(filled)
      const response = await this.#client.request(offset + filled, rest.byteLength, signal)
      this.#checkPart(response, offset + filled, rest.byteLength)
      const before = filled
      await this.#client.fillFromBody(response, rest, offset + filled, signal, (more) => {
        filled = before + more
      })
    })
  }

  protected override async release(): Promise<void> {
    this.#head = null
  }

  #checkPart(response: Response, start: number, length: number): void {
    const range = response.status === 206 ? this.#client.contentRange(response) : null
    const etag = response.headers.get('etag')
    if (range?.total !== this.size || (etag !== null && this.#etag !== null && etag !== this.#etag)) {
      void response.body?.cancel().catch(() => {})
      const message = `${this.name} changed while it was read, or its server stopped answering ranges. Open it again.`
      throw new SourceError('file_unreadable', this.name, message)
    }
    if (range.start !== start || range.end !== start + length - 1) throw this.#client.badRange(response, start, length)
  }
}

/** A failure that another try may cure. Never leaves this file. */
class NetworkFailure extends Error {}

class RangeClient {
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

  /** Asks for `length` bytes from `offset`. Answers 200, 206 or 416; any other status is thrown. */
  async request(offset: number, length: number, signal?: AbortSignal): Promise<Response> {
    const headers = { ...this.#options.headers, range: `bytes=${offset}-${offset + length - 1}` }
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

/** The server ignored the range and is sending everything: kept if it is small, refused at once if it is not. */
async function takeWhole(client: RangeClient, response: Response, options: UrlOptions): Promise<RandomAccess> {
  const { maxWholeBytes = MAX_WHOLE_BYTES, signal } = options
  const declared = Number(response.headers.get('content-length') ?? 0)
  const tooLarge = (): SourceError => {
    void response.body?.cancel().catch(() => {})
    const message = `The server of ${client.name} does not answer range requests, and the file is larger than ${maxWholeBytes} bytes. Use a server that does, or a local file.`
    return new SourceError('file_too_large', client.name, message)
  }
  if (declared > maxWholeBytes) throw tooLarge()
  const pieces: Uint8Array[] = []
  let size = 0
  try {
    for await (const piece of response.body ? streamPieces(response.body, signal) : []) {
      size += piece.byteLength
      if (size > maxWholeBytes) break
      pieces.push(piece)
    }
  } catch (cause) {
    throw new NetworkFailure(describe(cause), { cause })
  }
  if (size > maxWholeBytes) throw tooLarge()
  const whole = new Uint8Array(size)
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.byteLength
  }
  return bytesSource(client.name, whole)
}

/** 416 to a range from 0 means that there is no byte 0. */
function emptyFile(client: RangeClient, response: Response): RandomAccess {
  void response.body?.cancel().catch(() => {})
  const header = response.headers.get('content-range')
  if (header === null || header === 'bytes */0') return bytesSource(client.name, new Uint8Array(0))
  throw client.badRange(response, 0, HEAD_BYTES)
}

function describe(cause: unknown): string {
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
