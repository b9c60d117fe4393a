// Runs a benchmark: node bench/run.mjs bench/kernels.ts [arguments]. Vite resolves the TypeScript and WGSL imports.
import { runnerImport } from 'vite'

const { module: plugin } = await runnerImport('./build/wgslText.ts', { configFile: false })
await runnerImport(process.argv[2], { configFile: false, plugins: [plugin.wgslText()] })
