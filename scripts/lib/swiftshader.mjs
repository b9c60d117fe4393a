/**
 * SwiftShader without root: Google's software Vulkan driver as it lies in the npm package @sparticuz/chromium, of which
 * 7 MB are kept.
 */
import { join } from 'node:path'
import { fetchPart, unpackFiles } from './chromiumPackage.mjs'
import { driverEnvironments } from './drivers.mjs'
import { SetupError } from './report.mjs'
import { tarFiles } from './tar.mjs'

/** @type {import('./chromiumPackage.mjs').PackedFile} */
export const SWIFTSHADER_ARCHIVE = {
  path: 'package/bin/swiftshader.tar.br',
  sha256: 'f957ea867313f9815b71dc2ed30cce301e01db4f3973fbdb31ffa5391b0ec45a',
}
const MANIFEST = 'vk_swiftshader_icd.json'
const KEPT = ['libvk_swiftshader.so', 'libvulkan.so.1', MANIFEST]

/**
 * The driver files out of the npm package's bytes (a gzipped tar that holds a brotli-packed tar).
 * @param {Uint8Array} tarball
 * @param {string} [sha256] of the inner archive
 * @returns {Map<string, Uint8Array>} by file name
 * @throws {SetupError} when the package is not the one that was checked
 */
export function unpackSwiftShader(tarball, sha256 = SWIFTSHADER_ARCHIVE.sha256) {
  const { path } = SWIFTSHADER_ARCHIVE
  const [archive] = unpackFiles(tarball, [{ path, sha256 }])
  const files = new Map([...tarFiles(/** @type {Uint8Array} */ (archive))].map(({ name, bytes }) => [name, bytes]))
  return new Map(
    KEPT.map((name) => {
      const bytes = files.get(name)
      if (!bytes) throw new SetupError(`${path} holds no ${name}`)
      return [name, bytes]
    }),
  )
}

/**
 * Fetches the driver unless it is there already.
 * @returns {Promise<Record<string, string>[]>} environments that select it
 * @throws {SetupError} when this is no x64 machine, or the registry is out of reach
 */
export async function fetchSwiftShader() {
  const folder = await fetchPart('swiftshader', 'SwiftShader', unpackSwiftShader, MANIFEST)
  return driverEnvironments(join(folder, MANIFEST))
}
