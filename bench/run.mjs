// Runs a benchmark: node bench/run.mjs bench/kernels.ts [arguments]. Vite resolves the TypeScript and WGSL imports.
import { runnerImport } from 'vite'

const [file, ...rest] = process.argv.slice(2)
const { module: plugin } = await runnerImport('./build/wgslText.ts', { configFile: false })
const { module: bench } = await runnerImport(file, { configFile: false, plugins: [plugin.wgslText()] })
await bench.main(rest)
