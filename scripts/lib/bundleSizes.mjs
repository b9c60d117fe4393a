/** How much a browser loads: bundles with all that they import at once, as they are and as servers send them. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'

/** What pages load or start, and what it is; paths below dist/. */
export const BUNDLES = {
  'browser/page.js': 'openInWorker: what a page needs beside its worker',
  'browser/worker.js': 'the worker: engine, tokenizer, templates, shaders',
  'browser/service-worker.js': 'the service worker',
  'browser/index.js': 'the engine in the page itself',
}

/**
 * @typedef {object} BundleSize
 * @property {number} bytes @property {number} gzip @property {number} brotli
 */

/**
 * Sizes of a file and of what it imports, together.
 * @param {string} file @returns {BundleSize}
 */
export function bundleSize(file) {
  const sum = { bytes: 0, gzip: 0, brotli: 0 }
  for (const path of filesOf(file)) {
    const content = readFileSync(path)
    sum.bytes += content.length
    sum.gzip += gzipSync(content, { level: 9 }).length
    sum.brotli += brotliCompressSync(content).length
  }
  return sum
}

/** @param {string} file @param {Set<string>} [found] @returns {Set<string>} */
function filesOf(file, found = new Set()) {
  if (found.has(file)) return found
  found.add(file)
  // Bundles name what they import at their beginning, and nothing else in these words.
  const imports = readFileSync(file, 'utf8').matchAll(
    /(?:^|[;}])(?:import|export)\b[^'"`;()]*?(?:from)?\s*["'](\.[^"']+)["']/g,
  )
  for (const [, path] of imports) filesOf(join(dirname(file), /** @type {string} */ (path)), found)
  return found
}
