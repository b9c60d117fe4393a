/**
 * The answering end of a relayed fetch: hands the request to the handler and its response to a port, chunk for chunk as
 * the other side asks for them. Where nobody asks, nothing is read, and the handler's own back-pressure does the rest.
 */
import type { Handler } from '../../../api/handler.ts'
import type { ControlMessage, FetchMessage, ResponseMessage } from './protocol.ts'
import { errorData } from './remoteError.ts'

/** Answers one request. Resolves when the exchange is over; never rejects. `gone` ends it when the asking side dies. */
export async function answerFetch(
  handler: Handler,
  { request, port }: Pick<FetchMessage, 'request' | 'port'>,
  gone: AbortSignal | null = null,
): Promise<void> {
  const { url, method, headers, body } = request
  const controller = new AbortController()
  const credits = new Credits()
  const abort = (): void => {
    controller.abort()
    credits.end()
  }
  port.onmessage = ({ data }) => {
    const message = data as ControlMessage
    if (message.type === 'pull') credits.add(message.chunks)
    else abort()
  }
  gone?.addEventListener('abort', abort)
  try {
    if (gone?.aborted) return
    const init = { method, headers: headers.map(([name, value]): [string, string] => [name, value]) }
    const response = await handler(new Request(url, { ...init, body, signal: controller.signal }))
    const head = { status: response.status, headers: [...response.headers] }
    say(port, { type: 'head', ...head, hasBody: response.body !== null })
    if (response.body) await sendBody(response.body, port, credits)
    say(port, { type: 'end' })
  } catch (error) {
    say(port, { type: 'error', error: errorData(error) })
  } finally {
    gone?.removeEventListener('abort', abort)
    port.onmessage = null
    port.close()
  }
}

async function sendBody(body: ReadableStream<Uint8Array>, port: MessagePort, credits: Credits): Promise<void> {
  const reader = body.getReader()
  // A read under way when the other side leaves ends with the cancel.
  credits.onEnd = () => void reader.cancel().catch(() => {})
  while (await credits.take()) {
    const { done, value } = await reader.read()
    if (done) return
    const bytes = value as Uint8Array<ArrayBuffer>
    // A view of something larger is copied: the rest of it is somebody else's.
    const isWhole = bytes.byteLength === bytes.buffer.byteLength
    say(port, { type: 'chunk', bytes }, isWhole ? [bytes.buffer] : [])
  }
}

function say(port: MessagePort, message: ResponseMessage, transfer: Transferable[] = []): void {
  port.postMessage(message, transfer)
}

/** Chunks that may be sent, and the wait for more. */
class Credits {
  onEnd: () => void = () => {}
  #chunks = 0
  #isOver = false
  #wake: () => void = () => {}

  add(chunks: number): void {
    this.#chunks += chunks
    this.#wake()
  }

  /** Nobody will ask any more. */
  end(): void {
    this.#isOver = true
    this.#wake()
    this.onEnd()
  }

  /** Takes one, when there is one: true; false when it is over. */
  async take(): Promise<boolean> {
    while (this.#chunks === 0 && !this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    this.#chunks--
    return !this.#isOver
  }
}
