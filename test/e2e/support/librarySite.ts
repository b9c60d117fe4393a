/** A site that embeds the built library: an empty page, the scripts, and models that can be cut off from it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { reference } from '../../fixtures.ts'

/** Builds what pages load and start into a folder of its own; `remove` deletes it. */
export async function buildLibrary(): Promise<{ readonly folder: string; remove(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-library-'))
  const config = (name: string): string => fileURLToPath(new URL(`../../../build/${name}.config.ts`, import.meta.url))
  const out = { logLevel: 'error', build: { outDir: folder, emptyOutDir: false } } as const
  await build({ configFile: config('browser'), ...out })
  for (const mode of ['page', 'service-worker']) await build({ configFile: config('standalone'), mode, ...out })
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

const PAGE = '<!doctype html><title>page</title><script type="module" src="/inPage.js"></script>'
const IN_PAGE = fileURLToPath(new URL('./inPage.js', import.meta.url))

export interface LibrarySite {
  /** Without a slash at its end. */
  readonly url: string
  /** Requests for files of models since the last call, as `METHOD path range`. */
  takeRequests(): string[]
  /** Files of models are not to be had: connections are cut off. */
  cutOff: boolean
  /** After so many bytes of a file the rest waits for `cutOff`. */
  pauseAt: number
  close(): Promise<void>
}

/** `/lib/…` is the library, `/models/…` and `/adapters/…` the fixtures; every other path is a page with inPage.js. */
export async function serveLibrary(folder: string): Promise<LibrarySite> {
  const requests: string[] = []
  const site = { cutOff: false, pauseAt: Number.POSITIVE_INFINITY }
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname))
    const inLibrary = /^\/lib\/(.*)/.exec(path)?.[1]
    if (inLibrary !== undefined) return await send(response, join(folder, inLibrary))
    if (path === '/inPage.js') return await send(response, IN_PAGE)
    if (path === '/service-worker.js') return await send(response, join(folder, 'service-worker.js'))
    if (!/^\/(models|adapters)\//.test(path)) {
      response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE)
      return
    }
    requests.push([request.method, path, request.headers.range].filter(Boolean).join(' '))
    if (site.cutOff) {
      request.socket.destroy()
      return
    }
    await sendRange(response, reference(path.slice(1)), request.method === 'HEAD', request.headers.range)
  })
  const sendRange = async (response: ServerResponse, file: string, isHead: boolean, range = ''): Promise<void> => {
    const bytes = await readFile(file).catch(() => null)
    if (!bytes) {
      response.writeHead(404).end()
      return
    }
    const start = Number(/^bytes=(\d+)-/.exec(range)?.[1] ?? 0)
    const etag = `"${bytes.length}"`
    const status = range ? 206 : 200
    const headers = range ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}
    response.writeHead(status, { etag, 'content-length': bytes.length - start, ...headers })
    if (isHead) {
      response.end()
      return
    }
    const body = bytes.subarray(start)
    if (body.length <= site.pauseAt) {
      response.end(body)
      return
    }
    response.write(body.subarray(0, site.pauseAt))
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(site, {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    takeRequests: () => requests.splice(0),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  })
}

const TYPES: Readonly<Record<string, string>> = { '.js': 'text/javascript', '.map': 'application/json' }

async function send(response: ServerResponse, file: string): Promise<void> {
  const bytes = await readFile(file).catch(() => null)
  if (!bytes) response.writeHead(404).end()
  else response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(bytes)
}
