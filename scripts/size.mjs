/**
 * npm run size: builds what is stale, and says how many kB a browser loads of each bundle at once, and what of it waits until it is
 * needed.
 */
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { buildWhenStale } from './lib/build.mjs'
import { BUNDLES, bundleSizes } from './lib/bundleSizes.mjs'
import { DIST } from './lib/project.mjs'
import { main } from './lib/report.mjs'

/** @param {import('./lib/bundleSizes.mjs').BundleSize} size @param {string} what */
function write({ bytes, gzip, brotli }, what) {
  const figures = [bytes, gzip, brotli].map((each) => (each / 1000).toFixed(1).padStart(8)).join('')
  process.stdout.write(`${figures}  ${what}\n`)
}

await main(async () => {
  await buildWhenStale()
  process.stdout.write(`${'kB'.padStart(8)}${'gzip'.padStart(8)}${'brotli'.padStart(8)}\n`)
  /** @type {Map<string, import('./lib/bundleSizes.mjs').BundleSize>} */
  const parts = new Map()
  for (const [path, what] of Object.entries(BUNDLES)) {
    const file = join(DIST, path)
    if (!existsSync(file)) continue
    const { initial, later } = bundleSizes(file)
    write(initial, `${path}  ${what}`)
    for (const [part, size] of later) parts.set(part, size)
  }
  process.stdout.write('\nLoaded when first needed, by the worker or the page:\n')
  const bySize = [...parts].sort(([, one], [, other]) => other.gzip - one.gzip)
  for (const [part, size] of bySize) write(size, basename(part).replace(/-[\w-]{8}\.js$/, ''))
  return 0
})
