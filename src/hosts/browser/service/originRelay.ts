/**
 * How a service worker answers for an engine that it does not have. It keeps nothing but a way to the worker of the tab that
 * leads, and finds that anew whenever it has none: after it was stopped for being idle, and after the tab was closed.
 */
import { errorEnvelope, retryAfterSeconds } from '../../../api/errors.ts'
import { LorikeetError } from '../../../errors.ts'
import { fetchOver, type Link, requestData } from '../relay/fetchClient.ts'
import { holdLifeline, type Locks, watchLifeline } from '../relay/lifeline.ts'
import type { RequestData, VisitorMessage, WelcomeMessage } from '../relay/protocol.ts'

/** Held by the tab whose worker answers for the origin; the others wait in line for it. */
export const LEADER_LOCK = 'lorikeet:leader'

/** From the service worker to the tabs: whoever leads hands the port to its worker. */
export interface ConnectMessage {
  readonly type: 'lorikeet:connect'
  readonly port: MessagePort
}

export interface OriginRelayOptions {
  readonly locks: Locks & Pick<LockManager, 'query'>
  /** Sends each tab a message with a port of its own, and answers the other ends. */
  readonly askTabs: () => Promise<readonly MessagePort[]>
  /** Longest wait for the tab that leads to be ready, and between two times it is asked; in ms. */
  readonly patienceMs?: number
  readonly askAgainMs?: number
}

/** Nobody serves this origin, or not yet. */
export class NoTabError extends LorikeetError {
  readonly code = 'no_tab'
  override readonly status = 503
}

/** The tab that computed the answer was closed in the middle of it. */
export class TabClosedError extends LorikeetError {
  readonly code = 'tab_closed'
  override readonly status = 503

  constructor() {
    super('The tab that computed this was closed. Another takes over, if there is one: please try again.')
  }
}

/** A model takes a while to open; a request made right after the page was loaded waits for it. */
const PATIENCE_MS = 25_000
const ASK_AGAIN_MS = 250

export class OriginRelay {
  readonly #options: OriginRelayOptions
  readonly #lifeline: Promise<string | null>
  #link: Link | null = null
  #connecting: Promise<Link> | null = null

  constructor(options: OriginRelayOptions) {
    this.#options = options
    this.#lifeline = holdLifeline(options.locks)
  }

  /** Never rejects. `done` resolves when the last byte of the answer was taken, or nobody wants it any more. */
  answer(request: Request, path: string): { readonly response: Promise<Response>; readonly done: Promise<void> } {
    let finish = (): void => {}
    const done = new Promise<void>((resolve) => {
      finish = resolve
    })
    const response = this.#ask(request, path).then(
      (answered) => withLastWords(answered, finish),
      (error: unknown) => {
        finish()
        return refusal(error)
      },
    )
    return { response, done }
  }

  async #ask(request: Request, path: string): Promise<Response> {
    const data: RequestData = { ...(await requestData(request)), url: `http://lorikeet${path}` }
    return await fetchOver(await this.#linked(request.signal), data, request.signal)
  }

  async #linked(signal: AbortSignal): Promise<Link> {
    if (this.#link && !this.#link.gone.aborted) return this.#link
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = null
    })
    const link = await this.#connecting
    signal.throwIfAborted()
    return link
  }

  /** Asks the tabs, again and again, until the one that leads has its worker answer. */
  async #connect(): Promise<Link> {
    const { askTabs, patienceMs = PATIENCE_MS, askAgainMs = ASK_AGAIN_MS } = this.#options
    const until = performance.now() + patienceMs
    while (await this.#isServed()) {
      const link = await this.#welcome(await askTabs(), askAgainMs)
      if (link) {
        this.#link = link
        return link
      }
      if (performance.now() > until) throw new NoTabError('The model is still being opened. Please try again.')
    }
    throw new NoTabError(
      'No open tab of this site serves a model. Open one that does, or call serveOrigin() in this one.',
    )
  }

  async #isServed(): Promise<boolean> {
    const { held = [], pending = [] } = await this.#options.locks.query()
    return [...held, ...pending].some(({ name }) => name === LEADER_LOCK)
  }

  /** The way to whoever answers first; null if nobody does in time. */
  async #welcome(ports: readonly MessagePort[], withinMs: number): Promise<Link | null> {
    let taken: MessagePort | null = null
    const link = await new Promise<Link | null>((resolve) => {
      const timer = setTimeout(() => resolve(null), withinMs)
      for (const port of ports) {
        port.onmessage = ({ data }) => {
          clearTimeout(timer)
          taken ??= port
          resolve(this.#linkOf(taken, data as WelcomeMessage))
        }
      }
    })
    for (const port of ports) if (port !== taken) port.close()
    return link
  }

  #linkOf(port: MessagePort, { lifeline }: WelcomeMessage): Link {
    const { locks } = this.#options
    const gone = new AbortController()
    watchLifeline(locks, lifeline, { signal: gone.signal, onGone: () => gone.abort(new TabClosedError()) })
    // So that what is under way ends when this service worker does.
    void this.#lifeline.then((mine) => port.postMessage({ type: 'visitor', lifeline: mine } satisfies VisitorMessage))
    return { send: (message, transfer) => port.postMessage(message, transfer), gone: gone.signal }
  }
}

function refusal(error: unknown): Response {
  const { status, body } = errorEnvelope(error)
  const retryAfter = retryAfterSeconds(error, status)
  return Response.json(body, { status, headers: retryAfter === null ? {} : { 'retry-after': String(retryAfter) } })
}

/** The same response; if it breaks off, an event stream says why before it ends. */
function withLastWords(response: Response, onOver: () => void): Response {
  if (!response.body) {
    onOver()
    return response
  }
  const isEvents = response.headers.get('content-type')?.startsWith('text/event-stream')
  const reader = response.body.getReader()
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (!done) return controller.enqueue(value)
          controller.close()
        } catch (error) {
          if (isEvents) {
            const words = `data: ${JSON.stringify(errorEnvelope(error).body)}\n\ndata: [DONE]\n\n`
            controller.enqueue(new TextEncoder().encode(words))
            controller.close()
          } else controller.error(error)
        }
        onOver()
      },
      async cancel(reason) {
        onOver()
        await reader.cancel(reason)
      },
    },
    { highWaterMark: 0 },
  )
  return new Response(body, { status: response.status, headers: response.headers })
}
