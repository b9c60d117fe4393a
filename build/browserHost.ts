import { fileURLToPath } from 'node:url'
import type { Plugin } from 'vite'

const CURRENT = fileURLToPath(new URL('../src/hosts/current.ts', import.meta.url))
const IN_BROWSERS = fileURLToPath(new URL('../src/hosts/browser/current.ts', import.meta.url))

/** Leaves the hosts of Node and Deno out of what is built for browsers: their modules are not to be had there. */
export function browserHost(): Plugin {
  return {
    name: 'browser-host',
    enforce: 'pre',
    async resolveId(source, importer, options) {
      if (!source.endsWith('/current.ts')) return null
      const found = await this.resolve(source, importer, { ...options, skipSelf: true })
      return found?.id === CURRENT ? IN_BROWSERS : found
    },
  }
}
