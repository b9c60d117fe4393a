/**
 * The engine as browsers load it, in a page or in a worker: two entries that share their chunks, with all packages inside and
 * minified, so that one import map entry, or a copied folder, is enough. Bundlers find it by `exports` in package.json. What many
 * never need (`part()` in src/) is in chunks of its own. build/standalone.config.ts makes the rest.
 */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'
import { browserHost } from './browserHost.ts'
import { chunksOf, MINIFY } from './output.ts'
import { quotedImports } from './quotedImports.ts'
import { tokenizerParts } from './tokenizerParts.ts'
import { wgslText } from './wgslText.ts'

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  plugins: [wgslText({ withoutComments: true }), browserHost(), tokenizerParts(), quotedImports()],
  publicDir: false,
  build: {
    target: 'es2022',
    minify: true,
    sourcemap: true,
    outDir: 'dist/browser',
    lib: {
      entry: { index: 'src/index.ts', worker: 'src/hosts/browser/worker/main.ts' },
      formats: ['es'],
    },
    rolldownOptions: {
      output: {
        minify: MINIFY,
        entryFileNames: '[name].js',
        chunkFileNames: 'chunks/[name]-[hash].js',
        codeSplitting: chunksOf(2),
      },
    },
  },
})
