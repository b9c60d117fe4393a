/**
 * Counts single tests for the line that ends `npm test`. The count goes to a file, and the script that started vitest
 * prints it after vitest has ended, so that nothing can come behind it.
 */
import { writeFileSync } from 'node:fs'
import type { SerializedError } from 'vitest'
import type { Reporter, TestModule } from 'vitest/node'

export default class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const file = process.env.LORIKEET_TEST_TOTALS
    if (!file) return
    const states = modules.flatMap((module) => [...module.children.allTests()].map((test) => test.result().state))
    const count = (...wanted: string[]): number => states.filter((state) => wanted.includes(state)).length
    const totals = {
      passed: count('passed'),
      failed: count('failed'),
      // A test that never got a result was cut off with its file.
      skipped: count('skipped', 'pending'),
      unloadedFiles: modules.filter((module) => module.errors().length > 0).length,
      strayErrors: errors.length,
    }
    writeFileSync(file, JSON.stringify(totals))
  }
}
