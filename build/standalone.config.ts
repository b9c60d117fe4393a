/**
 * What has no part of the engine, each as one file: `--mode page`, which starts a worker and talks to it, and `--mode
 * service-worker`: one that imports nothing need not be a module, which not every browser allows, and `import()` is
 * forbidden there.
 */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'
import { MINIFY } from './output.ts'
import { workerBeside } from './workerBeside.ts'

const ENTRIES: Readonly<Record<string, string>> = {
  page: 'src/hosts/browser/index.ts',
  'service-worker': 'src/hosts/browser/service/serviceWorker.ts',
}

export default defineConfig(({ mode }) => {
  const entry = ENTRIES[mode]
  if (!entry) throw new Error(`--mode is one of ${Object.keys(ENTRIES).join(', ')}`)
  return {
    root: fileURLToPath(new URL('..', import.meta.url)),
    plugins: [workerBeside()],
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
