/**
 * The page's part of answering for an origin: the service worker's registration, and the election of the one tab whose
 * worker computes. A Web Lock elects: who holds it leads, the others wait in line, and when the leading tab is closed the
 * next one gets it and opens a model of its own.
 */
import { LorikeetError } from '../../../errors.ts'
import type { RemoteLorikeet } from '../page/remoteLorikeet.ts'
import { type ConnectMessage, LEADER_LOCK } from './originRelay.ts'

export interface RegistrationOptions {
  /** Address of the script, on this origin: a copy of lorikeet/service-worker, or a module that imports it. */
  readonly scriptUrl: string | URL
  /** Which pages it serves. Default: those below the script. */
  readonly scope?: string
  /** `module` where the script has imports. Default `classic`, which works in every browser. */
  readonly type?: WorkerType
}

/** The browser has no service workers here, or the page is not one that this one would serve. */
export class ServiceWorkerError extends LorikeetError {
  readonly code = 'no_service_worker'
  override readonly status = 503
}

/** Registers the service worker; when this resolves, it answers this page's requests. @throws ServiceWorkerError */
export async function registerServiceWorker({
  scriptUrl,
  scope,
  type = 'classic',
}: RegistrationOptions): Promise<ServiceWorkerRegistration> {
  const { serviceWorker } = navigator
  if (!serviceWorker) {
    throw new ServiceWorkerError('There are no service workers here: serve the page over https, or from localhost.')
  }
  const registration = await serviceWorker.register(scriptUrl, { type, ...(scope !== undefined && { scope }) })
  if (!location.href.startsWith(registration.scope)) {
    throw new ServiceWorkerError(
      `The service worker serves pages below ${registration.scope}, and this one is not. Put its script higher up.`,
    )
  }
  const { active } = await serviceWorker.ready
  if (!serviceWorker.controller) {
    const controlled = new Promise((resolve) =>
      serviceWorker.addEventListener('controllerchange', resolve, { once: true }),
    )
    active?.postMessage({ type: 'lorikeet:claim' })
    if (!serviceWorker.controller) await controlled
  }
  return registration
}

export interface OriginOptions {
  /** Opens the model. Called in the tab that leads, when it begins to. */
  readonly open: () => Promise<RemoteLorikeet>
}

/** A tab that serves its origin, or waits to. */
export class OriginServer {
  /** Resolves with the model when this tab leads; rejects when it could not be opened, or was closed before. */
  readonly leading: Promise<RemoteLorikeet>
  readonly #leave = new AbortController()
  readonly #container: ServiceWorkerContainer
  #bird: RemoteLorikeet | null = null

  constructor({ open }: OriginOptions, { serviceWorker, locks }: Pick<Navigator, 'serviceWorker' | 'locks'>) {
    this.leading = new Promise((resolve, reject) => {
      locks
        .request(LEADER_LOCK, { signal: this.#leave.signal }, async () => {
          const bird = await open()
          resolve(bird)
          await this.#lead(bird)
        })
        .catch(reject)
    })
    this.leading.catch(() => {}) // whoever wants to know awaits it
    this.#container = serviceWorker
    serviceWorker.addEventListener('message', this.#onMessage)
    // Without this, messages wait until the page is wholly loaded.
    serviceWorker.startMessages()
  }

  get isLeading(): boolean {
    return this.#bird !== null
  }

  /** Leaves the line; a tab that leads closes its model, and the next one takes over. */
  async close(): Promise<void> {
    this.#container.removeEventListener('message', this.#onMessage)
    const bird = this.#bird
    this.#bird = null
    await bird?.close()
    this.#leave.abort()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Holds the lock until close(); one that was closed while it opened lets go at once. */
  async #lead(bird: RemoteLorikeet): Promise<void> {
    const { signal } = this.#leave
    if (signal.aborted) return await bird.close()
    this.#bird = bird
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  }

  readonly #onMessage = ({ data }: MessageEvent): void => {
    const message = data as ConnectMessage | null
    // Who does not lead, or not yet, says nothing: the service worker asks again.
    if (message?.type === 'lorikeet:connect') void this.#bird?.connect(message.port).catch(() => {})
  }
}

/** Serves this origin from this tab, when its turn comes. @throws ServiceWorkerError */
export function serveOrigin(options: OriginOptions): OriginServer {
  if (!navigator.serviceWorker || !navigator.locks) {
    throw new ServiceWorkerError('A page has to be served over https, or from localhost, to serve its origin.')
  }
  return new OriginServer(options, navigator)
}
