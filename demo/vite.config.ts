/** The demo page, built beside the library. Relative addresses, so that it works below any path of any static host. */
import { fileURLToPath } from 'node:url'
import type { Plugin, UserConfig } from 'vite'
import { browserHost } from '../build/browserHost.ts'
import { chunksOf } from '../build/output.ts'
import { tokenizerParts } from '../build/tokenizerParts.ts'
import { wgslText } from '../build/wgslText.ts'
import { modelsBesidePage } from './build/models.ts'
import { pageShell } from './build/shell.ts'
import { SERVICE_WORKER } from './src/offline/files.ts'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
/** Another model beside the page, such as one under development. */
const model = process.env.LORIKEET_DEMO_MODEL ?? here('../models/aviary')
/** A lorikeet server that the development page talks to. */
const server = process.env.LORIKEET_DEMO_SERVER ?? 'http://127.0.0.1:8000'

/** What the engine's own sources need, here and in its worker. */
const engine = (): Plugin[] => [wgslText({ withoutComments: true }), browserHost(), tokenizerParts()]

const config: UserConfig = {
  root: here('.'),
  base: './',
  plugins: [...engine(), modelsBesidePage(model), pageShell()],
  worker: { format: 'es', plugins: engine, rolldownOptions: { output: { codeSplitting: chunksOf(1) } } },
  build: {
    target: 'es2022',
    outDir: '../dist/demo',
    emptyOutDir: true,
    // Nothing to preload, no inline code for a content policy to forbid.
    modulePreload: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: { index: here('index.html'), sw: here('src/offline/serviceWorker.ts') },
      output: {
        // A service worker's scope is where its script lies.
        entryFileNames: ({ name }) => (name === 'sw' ? SERVICE_WORKER : 'assets/[name]-[hash].js'),
      },
    },
  },
  server: { proxy: { '/v1': server, '/tokenize': server, '/detokenize': server, '/lora-adapters': server } },
}

export default config
