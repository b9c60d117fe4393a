/**
 * A file behind HTTP, read by ranges. A server may ignore ranges, lie about them, hide their header from a page, or
 * change the file between two of them; each is noticed here, and nothing large is ever fetched twice.
 */
import { describe, NetworkFailure, RangeClient, type UrlOptions } from './rangeClient.ts'
import { bytesSource, type RandomAccess, Source, SourceError, streamPieces } from './source.ts'

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
  readonly isFar = true
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
