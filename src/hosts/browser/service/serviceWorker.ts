/**
 * `lorikeet/service-worker`: answers /v1/… of its own origin, so that a plain fetch('/v1/chat/completions') of any page and
 * any library works. It has no engine (browsers stop idle service workers, and Firefox gives them no WebGPU) but relays to
 * the worker of one tab. Requests for anything else go their usual way.
 */
import { type ConnectMessage, OriginRelay } from './originRelay.ts'

/** TypeScript has these among the service workers' types only. */
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request
  respondWith(response: Promise<Response>): void
}
interface Client {
  postMessage(message: ConnectMessage, transfer: Transferable[]): void
}
interface ServiceWorkerScope {
  readonly clients: {
    claim(): Promise<void>
    matchAll(options: { readonly type: 'window'; readonly includeUncontrolled: boolean }): Promise<readonly Client[]>
  }
  readonly location: Location
  readonly navigator: { readonly locks: LockManager }
  readonly registration: { readonly scope: string }
  skipWaiting(): Promise<void>
  addEventListener(type: 'install' | 'activate', listener: (event: ExtendableEvent) => void): void
  addEventListener(type: 'message', listener: (event: ExtendableEvent & MessageEvent) => void): void
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void
}

const scope = globalThis as unknown as ServiceWorkerScope

const relay: OriginRelay = new OriginRelay({
  locks: scope.navigator.locks,
  async askTabs() {
    const tabs = await scope.clients.matchAll({ type: 'window', includeUncontrolled: true })
    return tabs.map((tab) => {
      const { port1, port2 } = new MessageChannel()
      tab.postMessage({ type: 'lorikeet:connect', port: port2 }, [port2])
      return port1
    })
  },
})

/** The API's path for an address that is the API's: /v1/… of the origin, or below the service worker's scope. */
function apiPath(address: string): string | null {
  const { origin, pathname, search } = new URL(address)
  if (origin !== scope.location.origin) return null
  const below = new URL(scope.registration.scope).pathname
  const path = pathname.startsWith(below) ? pathname.slice(below.length - 1) : pathname
  const found = [path, pathname].find((each) => each.startsWith('/v1/'))
  return found === undefined ? null : found + search
}

scope.addEventListener('install', () => void scope.skipWaiting())
scope.addEventListener('activate', (event) => event.waitUntil(scope.clients.claim()))
scope.addEventListener('message', (event) => {
  // A page that was loaded past the service worker (with the shift key held) wants to be served all the same.
  if ((event.data as { type?: string } | null)?.type === 'lorikeet:claim') event.waitUntil(scope.clients.claim())
})
scope.addEventListener('fetch', (event) => {
  const path = apiPath(event.request.url)
  if (path === null) return
  const { response, done } = relay.answer(event.request, path)
  event.respondWith(response)
  // A stream keeps the service worker alive to its end.
  event.waitUntil(done)
})
