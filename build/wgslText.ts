import { readFileSync } from 'node:fs'
import type { Plugin } from 'vite'

/**
 * Lets vite and vitest import a `.wgsl` file as text. Deno reads the same import (`with { type: 'text' }`) natively;
 * vite ignores the attribute, so the file is turned into a module with one string here. With `withoutComments` the lines
 * stay where they are, so that errors name the right one, but say nothing to people.
 */
export function wgslText({ withoutComments = false }: { readonly withoutComments?: boolean } = {}): Plugin {
  return {
    name: 'wgsl-text',
    enforce: 'pre',
    load(id) {
      const file = id.split('?')[0]!
      if (!file.endsWith('.wgsl')) return null
      const text = readFileSync(file, 'utf8')
      return `export default ${JSON.stringify(withoutComments ? stripComments(text) : text)}`
    },
  }
}

/** All `//` comments but the include lines, which are instructions; WGSL has no strings that could hold one. */
function stripComments(text: string): string {
  return text.replace(/[ \t]*\/\/(?!#include ).*$/gm, '').replace(/^[ \t]+/gm, '')
}
