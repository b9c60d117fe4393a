/** One set-up at a time: `npm start` and `npm test` begun together on a fresh clone must not install over each other. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { say } from './report.mjs'

const POLL_MS = 200

/** Whether a process with this id is running. @param {number} pid */
function isRunning(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM'
  }
}

/** The id in a lock file; null while nothing is written in it. @param {string} file */
function holder(file) {
  try {
    return Number(readFileSync(file, 'utf8')) || null
  } catch {
    return null
  }
}

/**
 * Runs `body` while no other process runs one under the same lock; a lock whose process is gone is taken over.
 * @template T
 * @param {string} folder where the lock file lies
 * @param {() => Promise<T>} body
 * @returns {Promise<T>}
 */
export async function withLock(folder, body) {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 'setup.lock')
  let told = false
  for (;;) {
    try {
      writeFileSync(file, `${process.pid}`, { flag: 'wx' })
      break
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error
    }
    const pid = holder(file)
    if (pid && !told) {
      say(`waiting for another set-up of this checkout (process ${pid})`)
      told = true
    }
    if (pid && !isRunning(pid)) rmSync(file, { force: true })
    else await delay(POLL_MS)
  }
  try {
    return await body()
  } finally {
    rmSync(file, { force: true })
  }
}
