/** The Chromium that tests in a browser run in: one that is installed, or one that can be had. */
import { accessSync, constants } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'

/** What to set to a browser's path, or to `none` to leave browsers out. */
export const CHROMIUM_VARIABLE = 'LORIKEET_CHROMIUM'

const COMMANDS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'microsoft-edge']
const MAC_APPS = [
  'Google Chrome.app/Contents/MacOS/Google Chrome',
  'Chromium.app/Contents/MacOS/Chromium',
  'Microsoft Edge.app/Contents/MacOS/Microsoft Edge',
]
const WINDOWS_APPS = ['Google/Chrome/Application/chrome.exe', 'Microsoft/Edge/Application/msedge.exe']

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
