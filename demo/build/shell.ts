/** What a built page needs besides its bundle: a list of its files for the service worker, and a policy that forbids the rest. */
import { createHash } from 'node:crypto'
import type { Plugin } from 'vite'
import { PAGE_FILES, type PageFiles } from '../src/offline/files.ts'

/**
 * Scripts, styles and workers of this page only, no inline code. It may fetch from elsewhere, because a reader can name an
 * adapter's address; by itself it never does.
 */
const POLICY = [
  "default-src 'self'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self' https: http://localhost:* http://127.0.0.1:*",
  "worker-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

export function pageShell(): Plugin {
  return {
    name: 'page-shell',
    apply: 'build',
    enforce: 'post',
    transformIndexHtml: () => [
      { tag: 'meta', attrs: { 'http-equiv': 'content-security-policy', content: POLICY }, injectTo: 'head-prepend' },
    ],
    generateBundle: {
      order: 'post',
      handler(_, bundle) {
        const assets = Object.keys(bundle).filter((name) => name.startsWith('assets/') && !name.endsWith('.map'))
        const hash = createHash('sha256').update(assets.sort().join('\n'))
        hash.update(String((bundle['index.html'] as { source?: unknown } | undefined)?.source ?? ''))
        const list: PageFiles = {
          version: hash.digest('hex').slice(0, 16),
          files: ['', 'models/models.json', ...assets],
        }
        this.emitFile({ type: 'asset', fileName: PAGE_FILES, source: JSON.stringify(list) })
      },
    },
  }
}
