/**
 * SwiftShader without root: Google's software Vulkan driver as it lies in the npm package @sparticuz/chromium. The
 * package is 68 MB since a whole Chromium rides along; 7 MB of it are kept, in the user's cache folder.
 */
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { failureLine, npm } from './child.mjs'
import { driverEnvironments } from './drivers.mjs'
import { inProject } from './project.mjs'
import { reason, SetupError, say, secondsSince } from './report.mjs'
import { tarFiles } from './tar.mjs'

// The newest version that is made for Node 20.
const VERSION = '147.0.0'
const PACKAGE = `@sparticuz/chromium@${VERSION}`
const ARCHIVE = 'package/bin/swiftshader.tar.br'
const ARCHIVE_SHA256 = 'f957ea867313f9815b71dc2ed30cce301e01db4f3973fbdb31ffa5391b0ec45a'
const MANIFEST = 'vk_swiftshader_icd.json'
const KEPT = ['libvk_swiftshader.so', 'libvulkan.so.1', MANIFEST]
const FETCH_LIMIT_MS = 10 * 60_000

/** Where it may be kept, the better place first. @param {NodeJS.ProcessEnv} [env] */
export function cacheFolders(env = process.env) {
  const users = env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache')
  return [join(users, 'lorikeet'), inProject('.cache')].map((folder) => join(folder, `swiftshader-${VERSION}`))
}

/**
 * The driver files out of the npm package's bytes (a gzipped tar that holds a brotli-packed tar).
 * @param {Uint8Array} tarball
 * @param {string} [sha256] of the inner archive
 * @returns {Map<string, Uint8Array>} by file name
 * @throws {SetupError} when the package is not the one that was checked
 */
export function unpackSwiftShader(tarball, sha256 = ARCHIVE_SHA256) {
  const packed = [...tarFiles(gunzipSync(tarball))].find(({ name }) => name === ARCHIVE)?.bytes
  if (!packed) throw new SetupError(`${PACKAGE} holds no ${ARCHIVE}`)
  if (createHash('sha256').update(packed).digest('hex') !== sha256) {
    throw new SetupError(`${PACKAGE}: ${ARCHIVE} is not the file that was checked (its SHA-256 differs)`)
  }
  const files = new Map([...tarFiles(brotliDecompressSync(packed))].map(({ name, bytes }) => [name, bytes]))
  return new Map(
    KEPT.map((name) => {
      const bytes = files.get(name)
      if (!bytes) throw new SetupError(`${PACKAGE}: ${ARCHIVE} holds no ${name}`)
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
  if (process.arch !== 'x64') throw new SetupError(`SwiftShader: its npm package is for x64, not ${process.arch}`)
  const folders = cacheFolders()
  const kept = folders.find((folder) => existsSync(join(folder, MANIFEST)))
  if (kept) return driverEnvironments(join(kept, MANIFEST))

  const { folder, scratch } = makeScratch(folders)
  try {
    say(`fetching SwiftShader out of the npm package ${PACKAGE} (68 MB, once)`)
    const started = performance.now()
    // A cache of its own, thrown away: nobody needs the 68 MB again.
    const result = await npm(
      ['pack', PACKAGE, '--silent', '--pack-destination', scratch, '--cache', join(scratch, 'npm-cache')],
      { cwd: scratch, timeoutMs: FETCH_LIMIT_MS },
    )
    const tarball = readdirSync(scratch).find((file) => file.endsWith('.tgz'))
    if (result.code !== 0 || !tarball) throw new SetupError(`SwiftShader: npm pack failed: ${failureLine(result)}`)
    const unpacked = join(scratch, 'driver')
    mkdirSync(unpacked)
    for (const [name, bytes] of unpackSwiftShader(readFileSync(join(scratch, tarball)))) {
      writeFileSync(join(unpacked, name), bytes, { mode: 0o755 })
    }
    rmSync(folder, { recursive: true, force: true })
    renameSync(unpacked, folder)
    say(`SwiftShader is in ${folder} (${secondsSince(started)})`)
    return driverEnvironments(join(folder, MANIFEST))
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** A scratch folder beside the first cache folder that can be written to. @param {string[]} folders */
function makeScratch(folders) {
  let refusal = ''
  for (const folder of folders) {
    try {
      mkdirSync(join(folder, '..'), { recursive: true })
      return { folder, scratch: mkdtempSync(`${folder}.`) }
    } catch (error) {
      refusal = reason(error)
    }
  }
  throw new SetupError(`SwiftShader: no cache folder can be written to (${refusal})`)
}
