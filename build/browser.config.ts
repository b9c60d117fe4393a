/**
 * What pages load: entries that share chunks, with all packages inside and minified, so that one import map entry, or a
 * copied folder, is enough. Bundlers find it by `exports` in package.json.
 */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'
import { browserHost } from './browserHost.ts'
import { wgslText } from './wgslText.ts'

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  plugins: [wgslText({ withoutComments: true }), browserHost()],
  publicDir: false,
  build: {
    target: 'es2022',
    minify: true,
    sourcemap: true,
    outDir: 'dist/browser',
    lib: {
      entry: { index: 'src/index.ts' },
      formats: ['es'],
    },
    rolldownOptions: {
      output: {
        // A library build keeps white space for the sake of bundlers' tree shaking marks; here few are left.
        minify: { compress: true, mangle: true, codegen: { removeWhitespace: true } },
        entryFileNames: '[name].js',
        chunkFileNames: 'chunks/[name]-[hash].js',
      },
    },
  },
})
