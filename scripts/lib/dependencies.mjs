/**
 * `npm ci`, when node_modules is not what package-lock.json says. npm itself records what it installed in
 * node_modules/.package-lock.json, so the question is answered by comparing the two files, not by a stamp of our own.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { failureLine, npm } from './child.mjs'
import { NODE_MODULES, ROOT } from './project.mjs'
import { SetupError, say, secondsSince } from './report.mjs'

const INSTALL_LIMIT_MS = 15 * 60_000
const SHOWN_ERROR_LINES = 12

/**
 * @typedef {{ version?: string, integrity?: string, optional?: boolean, os?: string[] }} LockedPackage
 * @typedef {{ packages?: Record<string, LockedPackage> }} LockFile
 */

/**
 * Why the packages must be installed again, or null when they match.
 * @param {LockFile} wanted package-lock.json
 * @param {LockFile | null} installed node_modules/.package-lock.json, null when missing or unreadable
 * @param {(path: string) => boolean} isThere whether a package's folder still exists
 * @param {string} [platform]
 */
export function installReason(wanted, installed, isThere, platform = process.platform) {
  if (!installed?.packages) return 'node_modules is missing'
  for (const [path, { version, integrity, optional }] of Object.entries(wanted.packages ?? {})) {
    if (path === '') continue
    const found = installed.packages[path]
    if (!found) {
      if (optional) continue
      return `${path} is missing`
    }
    if (found.version !== version) return `${path} is ${found.version}, not ${version}`
    if (integrity && found.integrity !== integrity) return `${path} is not the ${version} that is locked`
    if (found.os && !found.os.includes(platform)) return `${path} is for another operating system`
    if (!isThere(path)) return `${path} is missing`
  }
  return null
}

/** @param {string} path @returns {LockFile | null} */
function readLock(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return null
  }
}

/** Installs the locked packages where they are not in place. */
export async function installDependencies() {
  const wanted = readLock(join(ROOT, 'package-lock.json'))
  if (!wanted) throw new SetupError('package-lock.json cannot be read. Restore it: git checkout package-lock.json')
  const installed = readLock(join(NODE_MODULES, '.package-lock.json'))
  const why = installReason(wanted, installed, (path) => existsSync(join(ROOT, path)))
  if (!why) return

  say(`installing the locked packages with npm ci (${why})`)
  const started = performance.now()
  const result = await npm(['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: ROOT,
    timeoutMs: INSTALL_LIMIT_MS,
  })
  if (result.code !== 0) {
    // What follows the first lines is npm's usage text.
    process.stderr.write(`${result.stderr.split('\n').slice(0, SHOWN_ERROR_LINES).join('\n')}\n`)
    throw new SetupError(`npm ci failed: ${failureLine(result)}`)
  }
  say(`packages installed in ${secondsSince(started)}`)
}
