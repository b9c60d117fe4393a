/**
 * What pages load (build/standalone.config.ts makes what they start): entries that share chunks, with all packages inside and minified, so that one import map entry, or a
 * copied folder, is enough. Bundlers find it by `exports` in package.json.
 */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'
import { browserHost } from './browserHost.ts'
import { MINIFY } from './minify.ts'
import { wgslText } from './wgslText.ts'
import { workerBeside } from './workerBeside.ts'

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  plugins: [wgslText({ withoutComments: true }), browserHost(), workerBeside()],
  publicDir: false,
  build: {
    target: 'es2022',
    minify: true,
    sourcemap: true,
    outDir: 'dist/browser',
    lib: {
      entry: { index: 'src/index.ts', page: 'src/hosts/browser/index.ts' },
      formats: ['es'],
    },
    rolldownOptions: {
      output: {
        minify: MINIFY,
        entryFileNames: '[name].js',
        chunkFileNames: 'chunks/[name]-[hash].js',
      },
    },
  },
})
