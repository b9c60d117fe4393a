import { readFileSync } from 'node:fs'
import type { Plugin } from 'vite'

/**
 * Lets vite and vitest import a `.wgsl` file as text. Deno reads the same import (`with { type: 'text' }`) natively;
 * vite ignores the attribute, so the file is turned into a module with one string here.
 */
export function wgslText(): Plugin {
  return {
    name: 'wgsl-text',
    enforce: 'pre',
    load(id) {
      const file = id.split('?')[0]!
      if (!file.endsWith('.wgsl')) return null
      return `export default ${JSON.stringify(readFileSync(file, 'utf8'))}`
    },
  }
}
