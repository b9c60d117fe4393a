import type { Plugin } from 'vite'

const SHEBANG = '#!/usr/bin/env node\n'

/** Makes the bundle of the command line a program that a shell can start. */
export function cliShebang(fileName: string): Plugin {
  return {
    name: 'cli-shebang',
    generateBundle(_options, bundle) {
      const chunk = bundle[fileName]
      if (chunk?.type === 'chunk' && !chunk.code.startsWith('#!')) chunk.code = SHEBANG + chunk.code
    },
  }
}
