/**
 * Keeps the page's own files. It answers for them and for nothing else: neither for the API nor for models. The page
 * itself comes from the network while there is one, so that a new version is seen at once.
 */
import type { PageFiles } from './files.ts'

interface WorkerScope {
  readonly registration: { readonly scope: string }
  skipWaiting(): Promise<void>
  readonly clients: { claim(): Promise<void> }
  addEventListener(type: 'install' | 'activate' | 'message', listener: (event: ExtendableEvent) => void): void
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void
}

interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void
}

interface FetchEvent extends ExtendableEvent {
  readonly request: Request
  respondWith(response: Promise<Response>): void
}

const scope = self as unknown as WorkerScope
const base = scope.registration.scope
/** Named in files.ts; written out, so that this stays one file that needs no other. */
const PAGE_FILES = 'files.json'
const CACHE = `lorikeet page ${base}`

scope.addEventListener('install', (event) => event.waitUntil(refresh().then(() => scope.skipWaiting())))
scope.addEventListener('activate', (event) => event.waitUntil(scope.clients.claim()))
scope.addEventListener('message', (event) => event.waitUntil(refresh().catch(() => undefined)))
scope.addEventListener('fetch', (event) => {
  const { method, url, mode } = event.request
  if (method !== 'GET' || !url.startsWith(base)) return
  const path = url.slice(base.length).split(/[?#]/)[0]!
  if (mode === 'navigate' && path === '') event.respondWith(fromNetworkFirst(event.request))
  else if (path.startsWith('assets/')) event.respondWith(fromCacheFirst(event.request))
  else if (path === 'models/models.json') event.respondWith(fromNetworkFirst(event.request))
})

/** Names of assets contain a digest of their content: what is there stays right. */
async function fromCacheFirst(request: Request): Promise<Response> {
  return (await caches.match(request, { cacheName: CACHE, ignoreVary: true })) ?? (await fetch(request))
}

async function fromNetworkFirst(request: Request): Promise<Response> {
  try {
    return await fetch(request)
  } catch (error) {
    const kept = await caches.match(request, { cacheName: CACHE, ignoreSearch: true, ignoreVary: true })
    if (kept) return kept
    throw error
  }
}

/** Brings what the list names and is not there, and drops what it does not name. */
async function refresh(): Promise<void> {
  const response = await fetch(new URL(PAGE_FILES, base), { cache: 'no-cache' })
  if (!response.ok) throw new Error(`${PAGE_FILES}: ${response.status}`)
  const { version, files } = (await response.json()) as PageFiles
  const cache = await caches.open(CACHE)
  const mark = new URL('version', base).href
  if ((await (await cache.match(mark))?.text()) === version) return
  const wanted = files.map((file) => new URL(file, base).href)
  const isAsset = (url: string): boolean => url.startsWith(new URL('assets/', base).href)
  const kept = new Set((await cache.keys()).map(({ url }) => url))
  await cache.addAll(wanted.filter((url) => !isAsset(url) || !kept.has(url)))
  for (const url of kept) if (!wanted.includes(url)) await cache.delete(url)
  await cache.put(mark, new Response(version))
}
