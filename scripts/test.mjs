/**
 * npm test: set-up, then all tests. The last line of output is `tests: N passed, M failed`.
 *   --full             with the long tests (*.full.test.ts)
 *   --real-model DIR   only the tests against a real model (*.real.test.ts)
 * Everything else goes to vitest: npm test -- test/lora
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { foreground } from './lib/child.mjs'
import { CHROMIUM_VARIABLE, haveChromium } from './lib/chromium.mjs'
import { inProject, NODE_MODULES } from './lib/project.mjs'
import { main, say } from './lib/report.mjs'
import { setUp } from './lib/setup.mjs'
import { isGreen, planTests, remarks, totalsLine } from './lib/testRun.mjs'

/** @type {import('./lib/testRun.mjs').Totals} */
const NOTHING_RAN = { passed: 0, failed: 0, skipped: 0, unloadedFiles: 0, strayErrors: 0 }

await main(async () => {
  const plan = planTests(process.argv.slice(2))
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-test-'))
  const totalsFile = join(folder, 'totals.json')
  let totals = NOTHING_RAN
  /** @type {string[]} */
  const leftOut = []
  let code = 1
  try {
    /** @type {NodeJS.ProcessEnv} */
    const env = { ...(await setUp()), ...plan.env, LORIKEET_TEST_TOTALS: totalsFile }
    if (plan.browsers) {
      const chromium = await haveChromium()
      if ('path' in chromium) env[CHROMIUM_VARIABLE] = chromium.path
      else {
        env[CHROMIUM_VARIABLE] = ''
        leftOut.push(`no test ran in a browser: there is no Chromium here (${chromium.problem})`)
      }
    }
    const ownReporter = plan.vitestArgs.some((arg) => arg.startsWith('--reporter')) ? [] : ['--reporter=default']
    const reporters = [...ownReporter, `--reporter=${inProject('test/setup/totalsReporter.ts')}`]
    const vitest = join(NODE_MODULES, 'vitest/vitest.mjs')
    code = await foreground([vitest, 'run', ...reporters, ...plan.vitestArgs], env)
    totals = JSON.parse(readFileSync(totalsFile, 'utf8'))
  } catch (error) {
    say(`the tests did not run to their end: ${error instanceof Error ? error.message : error}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  for (const remark of [...remarks(totals), ...leftOut]) say(remark)
  process.stdout.write(`${totalsLine(totals)}\n`)
  return isGreen(totals, code) ? 0 : code || 1
})
