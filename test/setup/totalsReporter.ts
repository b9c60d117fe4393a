/**
 * Counts single tests for the line that ends `npm test`. The count goes to a file, and the script that started vitest
 * prints it after vitest has ended, so that nothing can come behind it.
 */
import { writeFileSync } from 'node:fs'
import type { SerializedError } from 'vitest'
import type { Reporter, TestCase, TestModule } from 'vitest/node'

export default class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const file = process.env.LORIKEET_TEST_TOTALS
    if (!file) return
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const outcomes = tests.map(outcome)
    const count = (wanted: Outcome): number => outcomes.filter((found) => found === wanted).length
    const totals = {
      passed: count('passed'),
      failed: count('failed'),
      skipped: count('skipped'),
      unloadedFiles: modules.filter((module) => module.children.size === 0 && module.errors().length > 0).length,
      strayErrors: errors.length,
    }
    writeFileSync(file, JSON.stringify(totals))
  }
}

type Outcome = 'passed' | 'failed' | 'skipped'

/** vitest calls a test skipped also when it was not begun because the set-up of its suite failed; here it failed. */
function outcome(test: TestCase): Outcome {
  const { state } = test.result()
  if (state === 'pending') return 'failed'
  return state === 'skipped' && isBelowFailedSetup(test) ? 'failed' : state
}

function isBelowFailedSetup(test: TestCase): boolean {
  for (let above: TestCase['parent'] = test.parent; ; above = above.parent) {
    if (above.errors().length > 0) return true
    if (above.type === 'module') return false
  }
}
