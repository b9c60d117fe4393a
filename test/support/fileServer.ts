/** Files behind fetch, as servers have them: with ranges or without, with accidents that are asked for. */

export interface ServedFile {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly etag?: string
}

export interface ServedRequest {
  readonly method: string
  readonly path: string
  readonly range: string | null
}

export class FileServer {
  readonly base: string = 'https://files.example/model/'
  readonly files: Map<string, ServedFile> = new Map()
  /** What was asked since the last look. */
  readonly requests: ServedRequest[] = []
  isOnline = true
  answersRanges = true
  /** Bytes of a piece of a body. */
  pieceBytes = 7
  /** Called before each piece; throwing breaks the connection off there. */
  onPiece: (path: string, sent: number) => void | Promise<void> = () => {}

  /** @param version makes another file of the same size */
  put(path: string, size: number, version = 1): Uint8Array {
    const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 31 + version * 101 + (i >> 8)) & 255)
    this.files.set(path, { bytes, etag: `"${path}-${version}"` })
    return bytes
  }

  /** The requests since the last call, as one line each. */
  takeRequests(): string[] {
    return this.requests.splice(0).map(({ method, path, range }) => [method, path, range].filter(Boolean).join(' '))
  }

  readonly fetch = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const path = url.slice(this.base.length).split('?')[0]!
    const { method = 'GET', signal } = init
    const headers = new Headers(init.headers)
    const range = headers.get('range')
    this.requests.push({ method, path, range })
    if (signal?.aborted) throw signal.reason
    if (!this.isOnline) throw new TypeError('Failed to fetch')
    const file = this.files.get(path)
    if (!file) return new Response('no such file', { status: 404 })
    const { bytes, etag } = file
    const common = { ...(etag && { etag }) }
    const asked = /^bytes=(\d+)-(\d*)$/.exec(range ?? '')
    if (!asked || !this.answersRanges) {
      const body = method === 'HEAD' ? null : this.#body(path, bytes, signal ?? null)
      return new Response(body, { headers: { ...common, 'content-length': String(bytes.length) } })
    }
    const start = Number(asked[1])
    if (start >= bytes.length) {
      return new Response(null, { status: 416, headers: { ...common, 'content-range': `bytes */${bytes.length}` } })
    }
    const end = asked[2] ? Math.min(Number(asked[2]), bytes.length - 1) : bytes.length - 1
    return new Response(this.#body(path, bytes.slice(start, end + 1), signal ?? null), {
      status: 206,
      headers: { ...common, 'content-range': `bytes ${start}-${end}/${bytes.length}` },
    })
  }

  #body(path: string, bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal | null): ReadableStream<Uint8Array> {
    let sent = 0
    return new ReadableStream(
      {
        pull: async (controller) => {
          await this.onPiece(path, sent)
          if (signal?.aborted) throw signal.reason
          if (sent === bytes.length) return controller.close()
          const piece = bytes.slice(sent, sent + this.pieceBytes)
          sent += piece.length
          controller.enqueue(piece)
        },
      },
      { highWaterMark: 0 },
    )
  }
}
