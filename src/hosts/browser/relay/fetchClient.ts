/**
 * The asking end of a relayed fetch: sends a request to where the engine is, and is the response as it comes back. The
 * body is pulled: the other side reads only as many chunks as this side has asked for, so a slow reader holds at most
 * `WINDOW` of them, and the rest waits where it is made.
 */
import { abortReason, type LorikeetError } from '../../../errors.ts'
import type { ControlMessage, FetchMessage, RequestData, ResponseMessage } from './protocol.ts'
import { errorOf } from './remoteError.ts'

/** Chunks on their way or unread at once: enough to hide the way, few enough to be nothing. */
export const WINDOW = 16

/** The way to an engine. */
export interface Link {
  send(message: FetchMessage, transfer: Transferable[]): void
  /** Aborted with a LorikeetError when the other side is no more; everything under way then fails with it. */
  readonly gone: AbortSignal
}

/** The request as data, wholly read: what is sent to this API is small. */
export async function requestData(request: Request): Promise<RequestData> {
  const hasBody = request.method !== 'GET' && request.method !== 'HEAD'
  const body = hasBody ? await request.arrayBuffer() : null
  const { url, method } = request
  return { url, method, headers: [...request.headers], body: body?.byteLength ? body : null }
}

/**
 * The response to `request` from the other side of `link`.
 * @throws the signal's reason, the LorikeetError the link ended with, or what the other side threw
 */
export function fetchOver(link: Link, request: RequestData, signal: AbortSignal | null = null): Promise<Response> {
  return new Promise<Response>((resolve, reject) => {
    if (signal?.aborted) throw abortReason(signal)
    if (link.gone.aborted) throw link.gone.reason
    const { port1, port2 } = new MessageChannel()
    new Exchange(port1, { link, signal, resolve, reject })
    link.send({ type: 'fetch', request, port: port2 }, [port2, ...(request.body ? [request.body] : [])])
  })
}

interface ExchangeOptions {
  readonly link: Link
  readonly signal: AbortSignal | null
  readonly resolve: (response: Response) => void
  readonly reject: (error: Error) => void
}

class Exchange {
  readonly #port: MessagePort
  readonly #options: ExchangeOptions
  /** Chunks asked for that have not come. */
  #awaited = 0
  #body: ReadableStreamDefaultController<Uint8Array> | null = null

  constructor(port: MessagePort, options: ExchangeOptions) {
    this.#port = port
    this.#options = options
    port.onmessage = ({ data }) => this.#receive(data as ResponseMessage)
    options.signal?.addEventListener('abort', this.#onAbort)
    options.link.gone.addEventListener('abort', this.#onGone)
  }

  #receive(message: ResponseMessage): void {
    switch (message.type) {
      case 'head': {
        const { status, headers, hasBody } = message
        const init = { status, headers: headers.map(([name, value]): [string, string] => [name, value]) }
        this.#options.resolve(new Response(hasBody ? this.#stream() : null, init))
        return
      }
      case 'chunk':
        this.#awaited--
        this.#body?.enqueue(message.bytes)
        return
      case 'end':
        this.#leave()
        this.#body?.close()
        return
      case 'error':
        this.#fail(errorOf(message.error))
    }
  }

  #stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#body = controller
        },
        // Called whenever something was read and there is room; never resolves to "nothing came".
        pull: (controller) => {
          const chunks = Math.max(0, controller.desiredSize ?? 0) - this.#awaited
          if (chunks <= 0) return
          this.#awaited += chunks
          this.#say({ type: 'pull', chunks })
        },
        cancel: () => {
          this.#say({ type: 'abort' })
          this.#leave()
        },
      },
      { highWaterMark: WINDOW },
    )
  }

  readonly #onAbort = (): void => {
    this.#say({ type: 'abort' })
    this.#fail(abortReason(this.#options.signal!))
  }

  readonly #onGone = (): void => {
    this.#fail(this.#options.link.gone.reason as LorikeetError)
  }

  #fail(error: Error): void {
    this.#leave()
    this.#options.reject(error)
    this.#body?.error(error)
  }

  #say(message: ControlMessage): void {
    this.#port.postMessage(message)
  }

  #leave(): void {
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#options.link.gone.removeEventListener('abort', this.#onGone)
    this.#port.onmessage = null
    this.#port.close()
  }
}
