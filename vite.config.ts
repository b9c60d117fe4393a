/**
 * The library for Node and Deno: entries that share chunks, shaders inlined as text, packages left to the installer.
 * build/browser.config.ts is the browser's.
 */
import { builtinModules } from 'node:module'
import { defineConfig } from 'vite'
import { cliShebang } from './build/cliShebang.ts'
import { wgslText } from './build/wgslText.ts'
import packageJson from './package.json' with { type: 'json' }

const packages = [...Object.keys(packageJson.dependencies), ...Object.keys(packageJson.peerDependencies)]

/** Whether an import stays an import: Node's own modules and the packages, with all their sub-paths. */
function isExternal(id: string): boolean {
  if (id.startsWith('node:') || builtinModules.includes(id)) return true
  return packages.some((name) => id === name || id.startsWith(`${name}/`))
}

export default defineConfig({
  plugins: [wgslText(), cliShebang('cli.js')],
  // Nothing to copy: the only static files are the demo's, and it has a build of its own.
  publicDir: false,
  build: {
    target: 'es2022',
    minify: false,
    sourcemap: true,
    lib: {
      entry: {
        index: 'src/index.ts',
        node: 'src/hosts/node/index.ts',
        deno: 'src/hosts/deno/index.ts',
        cli: 'src/cli/main.ts',
      },
      formats: ['es'],
    },
    rolldownOptions: {
      external: isExternal,
      output: { entryFileNames: '[name].js', chunkFileNames: 'chunks/[name]-[hash].js' },
    },
  },
})
