/** What `npm test` is asked to do, and what its last line says. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { SetupError } from './report.mjs'

/**
 * @typedef {{ passed: number, failed: number, skipped: number, unloadedFiles: number, strayErrors: number }} Totals
 *   single tests; files that failed before their tests were known; errors outside any test
 * @typedef {{ env: Record<string, string>, browsers: boolean, vitestArgs: string[] }} TestPlan
 *   browsers: whether some of the tests run in a browser
 */

/**
 * @param {readonly string[]} args
 * @returns {TestPlan}
 * @throws {SetupError} when `--real-model` names no model folder
 */
export function planTests(args) {
  /** @type {TestPlan} */
  const plan = { env: {}, browsers: true, vitestArgs: [] }
  for (let i = 0; i < args.length; i++) {
    const arg = /** @type {string} */ (args[i])
    if (arg === '--full') plan.env.LORIKEET_TEST_FULL = '1'
    else if (arg === '--real-model') {
      plan.env.LORIKEET_REAL_MODEL = modelFolder(args[++i])
      plan.browsers = false
    } else plan.vitestArgs.push(arg)
  }
  return plan
}

/** @param {string | undefined} folder */
function modelFolder(folder) {
  if (!folder) throw new SetupError('which model? npm run test:real-model -- FOLDER')
  if (!existsSync(join(folder, 'config.json')))
    throw new SetupError(`${folder} is no model folder: it has no config.json`)
  return resolve(folder)
}

/** Whether a run counts as passed. @param {Totals} totals @param {number} vitestCode */
export function isGreen({ passed, failed, unloadedFiles, strayErrors }, vitestCode) {
  return vitestCode === 0 && passed > 0 && failed === 0 && unloadedFiles === 0 && strayErrors === 0
}

/** What the last line does not say. @param {Totals} totals @returns {string[]} */
export function remarks({ passed, failed, skipped, unloadedFiles, strayErrors }) {
  const found = []
  if (passed + failed === 0) found.push('no test was run')
  if (skipped > 0) found.push(`${skipped} tests were skipped`)
  if (unloadedFiles > 0) found.push(`${unloadedFiles} test files failed to load: their tests are not counted`)
  if (strayErrors > 0) found.push(`${strayErrors} errors outside any test`)
  return found
}

/** The line that ends every run. @param {Totals} totals */
export function totalsLine({ passed, failed }) {
  return `tests: ${passed} passed, ${failed} failed`
}
