import type { Plugin } from 'vite'

/**
 * Writes "./part.js" where the minifier writes `./part.js` into an `import()`: tools that read only what is quoted take the latter
 * for an address that is not known before it runs.
 */
export function quotedImports(): Plugin {
  return {
    name: 'quoted-imports',
    generateBundle(_options, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type === 'chunk') chunk.code = chunk.code.replace(/\bimport\(`([^`$\\]*)`\)/g, 'import("$1")')
      }
    },
  }
}
