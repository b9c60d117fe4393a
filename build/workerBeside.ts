import type { Plugin } from 'vite'

const IN_SOURCE = "new URL('../worker/main.ts', import.meta.url)"
const PLACEHOLDER = '__LORIKEET_WORKER_URL__'
const IN_BUNDLE = 'new URL("./worker.js",import.meta.url)'

/**
 * Lets the library's bundle start `worker.js`, which is built on its own and lies beside it, in the very words by which
 * bundlers recognise a worker. (Vite's own way leaves an expression that the next bundler cannot read.)
 */
export function workerBeside(): Plugin {
  return {
    name: 'worker-beside',
    enforce: 'pre',
    transform(code) {
      return code.includes(IN_SOURCE) ? { code: code.replace(IN_SOURCE, PLACEHOLDER), map: null } : null
    },
    generateBundle(_options, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk' || !chunk.code.includes(PLACEHOLDER)) continue
        if (chunk.fileName.includes('/')) this.error('What starts the worker is in a chunk that is not beside it.')
        chunk.code = chunk.code.replace(PLACEHOLDER, IN_BUNDLE)
      }
    },
  }
}
