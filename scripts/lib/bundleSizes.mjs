/** How much a browser loads of a bundle: at once, and later when it is needed; as it is and as servers send it. */
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
 * @typedef {object} BundleSizes
 * @property {BundleSize} initial the file and all that it imports, together
 * @property {ReadonlyMap<string, BundleSize>} later what is imported when it is needed, by file
 */

/** @param {string} file @returns {BundleSizes} */
export function bundleSizes(file) {
  const initial = filesOf([file])
  /** @type {Set<string>} */
  const all = new Set(initial)
  // Parts may have parts.
  for (const each of all) for (const path of filesOf(importsOf(each).later)) all.add(path)
  const sum = { bytes: 0, gzip: 0, brotli: 0 }
  for (const path of initial) {
    const { bytes, gzip, brotli } = sizeOf(path)
    sum.bytes += bytes
    sum.gzip += gzip
    sum.brotli += brotli
  }
  const later = [...all].filter((path) => !initial.has(path))
  return { initial: sum, later: new Map(later.map((path) => [path, sizeOf(path)])) }
}

/** @param {string} path @returns {BundleSize} */
function sizeOf(path) {
  const content = readFileSync(path)
  return {
    bytes: content.length,
    gzip: gzipSync(content, { level: 9 }).length,
    brotli: brotliCompressSync(content).length,
  }
}

/** The files and what they import at once. @param {readonly string[]} files */
function filesOf(files) {
  const found = new Set(files)
  for (const file of found) for (const path of importsOf(file).atOnce) found.add(path)
  return found
}

/** @param {string} file */
function importsOf(file) {
  const code = readFileSync(file, 'utf8')
  /** @param {RegExp} pattern */
  const paths = (pattern) =>
    [...code.matchAll(pattern)].map(([, path]) => join(dirname(file), /** @type {string} */ (path)))
  return {
    // Bundles name what they import at their beginning, and nothing else in these words.
    atOnce: paths(/(?:^|[;}])(?:import|export)\b[^'"`;()]*?(?:from)?\s*["'](\.[^"']+)["']/g),
    later: paths(/\bimport\(\s*["'`](\.[^"'`]+)["'`]\s*\)/g),
  }
}
