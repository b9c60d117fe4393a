/** The demo page, built beside the library. Relative addresses, so that it works below any path. */
import { fileURLToPath } from 'node:url'
import type { UserConfig } from 'vite'

const config: UserConfig = {
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  build: {
    target: 'es2022',
    outDir: '../dist/demo',
    emptyOutDir: true,
    // One stylesheet and one script: nothing to preload, no inline code for a content policy to forbid.
    modulePreload: false,
    assetsInlineLimit: 0,
  },
  server: { proxy: { '/v1': 'http://127.0.0.1:8000', '/tokenize': 'http://127.0.0.1:8000' } },
}

export default config
