/**
 * What pages start but do not import: `--mode worker`, the engine in a dedicated worker, and `--mode service-worker`. Each is
 * one file with all it needs, because import maps do not reach into workers, and a service worker that imports nothing
 * need not be a module, which not every browser allows.
 */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'
import { browserHost } from './browserHost.ts'
import { MINIFY } from './minify.ts'
import { wgslText } from './wgslText.ts'

const ENTRIES: Readonly<Record<string, string>> = {
  worker: 'src/hosts/browser/worker/main.ts',
  'service-worker': 'src/hosts/browser/service/serviceWorker.ts',
}

export default defineConfig(({ mode }) => {
  const entry = ENTRIES[mode]
  if (!entry) throw new Error(`--mode is one of ${Object.keys(ENTRIES).join(', ')}`)
  return {
    root: fileURLToPath(new URL('..', import.meta.url)),
    plugins: [wgslText({ withoutComments: true }), browserHost()],
    publicDir: false,
    define: { 'process.env.NODE_ENV': '"production"' },
    build: {
      target: 'es2022',
      sourcemap: true,
      outDir: 'dist/browser',
      emptyOutDir: false,
      lib: { entry: { [mode]: entry }, formats: ['es'] },
      rolldownOptions: { output: { minify: MINIFY, entryFileNames: '[name].js', codeSplitting: false } },
    },
  }
})
