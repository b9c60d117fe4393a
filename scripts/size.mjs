/** npm run size: builds what is stale, and says how many kB a browser loads of each bundle. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { buildWhenStale } from './lib/build.mjs'
import { BUNDLES, bundleSize } from './lib/bundleSizes.mjs'
import { DIST } from './lib/project.mjs'
import { main } from './lib/report.mjs'

await main(async () => {
  await buildWhenStale()
  process.stdout.write(`${'kB'.padStart(8)}${'gzip'.padStart(8)}${'brotli'.padStart(8)}\n`)
  for (const [path, what] of Object.entries(BUNDLES)) {
    const file = join(DIST, path)
    if (!existsSync(file)) continue
    const { bytes, gzip, brotli } = bundleSize(file)
    const figures = [bytes, gzip, brotli].map((each) => (each / 1000).toFixed(1).padStart(8)).join('')
    process.stdout.write(`${figures}  ${path}  ${what}\n`)
  }
  return 0
})
