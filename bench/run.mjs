// Runs a script out of the sources: node bench/run.mjs bench/mixing.ts [arguments], or src/cli/main.ts for the command
// line without a build. Vite resolves the TypeScript and WGSL imports. To the script it looks as if node ran it, with this
// file as one of node's own options: so it can start itself again.
import { runnerImport } from 'vite'

process.execArgv.push(...process.argv.splice(1, 1))
const { module: plugin } = await runnerImport('./build/wgslText.ts', { configFile: false })
await runnerImport(`./${process.argv[1]}`, { configFile: false, plugins: [plugin.wgslText()] })
