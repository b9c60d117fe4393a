/** The reporter behind the last line of `npm test`, over a run that has one of everything. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { inProject } from '../../scripts/lib/project.mjs'

describe('totalsReporter', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lorikeet-totals-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('counts single tests, and what kept others from being counted', () => {
    writeFileSync(
      join(folder, 'mixed.test.mjs'),
      `describe('nested', () => { it('a', () => {}); it('b', () => {}) })
       it('c', () => { expect(1).toBe(2) })
       it('d', (context) => { context.skip() })
       it.each([1, 2, 3])('e %i', () => {})`,
    )
    writeFileSync(
      join(folder, 'setup.test.mjs'),
      `describe('without its device', () => {
         beforeAll(() => { throw new Error('no device') })
         it('f', () => {})
         describe('below', () => { it('g', () => {}) })
       })
       it('h', () => {})`,
    )
    writeFileSync(join(folder, 'broken.test.mjs'), `throw new Error('does not load')`)
    const totals = join(folder, 'totals.json')
    const vitest = inProject('node_modules/vitest/vitest.mjs')
    const reporter = `--reporter=${inProject('test/setup/totalsReporter.ts')}`
    const { status } = spawnSync(process.execPath, [vitest, 'run', '--root', folder, '--globals', reporter], {
      env: { ...process.env, LORIKEET_TEST_TOTALS: totals },
    })
    expect(status).toBe(1)
    expect(JSON.parse(readFileSync(totals, 'utf8'))).toEqual({
      passed: 6,
      failed: 3,
      skipped: 1,
      unloadedFiles: 1,
      strayErrors: 0,
    })
  })
})
