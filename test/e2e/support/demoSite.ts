/** The built demo page on a static server as plain as they come, below a path of its own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

/** Builds the page into a folder of its own; `remove` deletes it. */
export async function buildDemo(): Promise<{ readonly folder: string; remove(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-demo-'))
  // vitest's own would make it a development build.
  process.env.NODE_ENV = 'production'
  await build({
    configFile: fileURLToPath(new URL('../../../demo/vite.config.ts', import.meta.url)),
    logLevel: 'error',
    build: { outDir: folder },
  })
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
}

export interface StaticSite {
  /** The page's address, with a trailing slash. */
  readonly url: string
  /** Paths that were asked for below it, in order. */
  readonly asked: readonly string[]
  close(): Promise<void>
}

/** Files and nothing else: no ranges, no special headers, 404 for what is not there. */
export async function serveFiles(folder: string, below = '/some/where/'): Promise<StaticSite> {
  const asked: string[] = []
  const server: Server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    if (!pathname.startsWith(below)) {
      response.writeHead(404).end()
      return
    }
    const path = normalize(decodeURIComponent(pathname.slice(below.length)) || 'index.html')
    asked.push(path)
    try {
      const bytes = await readFile(join(folder, path))
      response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' }).end(bytes)
    } catch {
      response.writeHead(404).end('There is no such file.')
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${below}`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
