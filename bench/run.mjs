// Runs a script out of the sources: node bench/run.mjs bench/mixing.ts [arguments], or src/cli/main.ts for the command
// line without a build. Vite resolves the TypeScript and WGSL imports. To the script its arguments look as if node ran it.
import { runnerImport } from 'vite'

const [script] = process.argv.splice(2, 1)
const { module: plugin } = await runnerImport('./build/wgslText.ts', { configFile: false })
await runnerImport(`./${script}`, { configFile: false, plugins: [plugin.wgslText()] })
