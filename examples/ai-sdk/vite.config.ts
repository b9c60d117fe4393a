import { readFileSync } from 'node:fs'
import { defineConfig, type Plugin } from 'vite'
import { modelsAt } from '../modelsAt.ts'

/** The service worker has to lie at the top of what it serves, under a name that stays. */
const serviceWorker: Plugin = {
  name: 'service-worker',
  generateBundle() {
    const source = readFileSync(new URL('../../dist/browser/service-worker.js', import.meta.url))
    this.emitFile({ type: 'asset', fileName: 'service-worker.js', source })
  },
}

export default defineConfig({
  base: './',
  build: { target: 'es2022' },
  oxc: { jsx: { runtime: 'automatic', importSource: 'react' } },
  plugins: [modelsAt(), serviceWorker],
})
