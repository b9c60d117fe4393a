/**
 * The demo page's files, read once into memory. Only what was found at the start can be asked for, by its exact path,
 * so no request reaches the file system.
 */
import { readdir, readFile } from 'node:fs/promises'
import { extname, join, relative, sep } from 'node:path'
import type { Assets } from '../server.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
  '.map': 'application/json',
}

/** The page talks to its own origin and to nobody else. */
const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

/** Answers GET and HEAD for the files below `directory`, `index.html` also as `/`; null if there is no such directory. */
export async function readAssets(directory: string): Promise<Assets | null> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => null)
  if (entries === null) return null
  const files = new Map<string, { readonly bytes: Uint8Array<ArrayBuffer>; readonly headers: Record<string, string> }>()
  for (const entry of entries) {
    if (!entry.isFile()) continue
    const file = join(entry.parentPath, entry.name)
    const path = `/${relative(directory, file).split(sep).map(encodeURIComponent).join('/')}`
    const headers = {
      ...SECURITY_HEADERS,
      'content-type': TYPES[extname(entry.name)] ?? 'application/octet-stream',
      // vite puts a digest of the content into these names.
      'cache-control': path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    }
    files.set(path, { bytes: new Uint8Array(await readFile(file)), headers })
  }
  const index = files.get('/index.html')
  if (index !== undefined) files.set('/', index)
  return (request) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return null
    const file = files.get(new URL(request.url).pathname)
    if (file === undefined) return null
    return new Response(request.method === 'HEAD' ? null : file.bytes, { headers: file.headers })
  }
}
