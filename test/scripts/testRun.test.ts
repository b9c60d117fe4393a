/** What `npm test` does with its arguments, and when it calls a run green. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isGreen, planTests, remarks, totalsLine } from '../../scripts/lib/testRun.mjs'

const GREEN = { passed: 3, failed: 0, skipped: 0, unloadedFiles: 0, strayErrors: 0 }

describe('planTests', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lorikeet-model-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('hands everything it does not know to vitest', () => {
    expect(planTests(['test/lora', '--full', '-t', 'rank'])).toEqual({
      env: { LORIKEET_TEST_FULL: '1' },
      browsers: true,
      vitestArgs: ['test/lora', '-t', 'rank'],
    })
  })

  it('takes the folder of a real model', () => {
    writeFileSync(join(folder, 'config.json'), '{}')
    expect(planTests(['--real-model', folder])).toEqual({
      env: { LORIKEET_REAL_MODEL: folder },
      browsers: false,
      vitestArgs: [],
    })
  })

  it('refuses a folder without a model, and no folder', () => {
    mkdirSync(join(folder, 'empty'))
    expect(() => planTests(['--real-model', join(folder, 'empty')])).toThrow(
      'is no model folder: it has no config.json',
    )
    expect(() => planTests(['--real-model'])).toThrow('npm run test:real-model -- FOLDER')
  })
})

describe('a run', () => {
  it('is green only when tests ran, all passed and every file loaded', () => {
    expect(isGreen(GREEN, 0)).toBe(true)
    expect(isGreen(GREEN, 1)).toBe(false)
    for (const change of [{ passed: 0 }, { failed: 1 }, { unloadedFiles: 1 }, { strayErrors: 1 }]) {
      expect(isGreen({ ...GREEN, ...change }, 0)).toBe(false)
    }
  })

  it('ends with a line of single tests, and says before it what that line does not', () => {
    expect(totalsLine({ ...GREEN, failed: 2 })).toBe('tests: 3 passed, 2 failed')
    expect(remarks(GREEN)).toEqual([])
    expect(remarks({ passed: 0, failed: 0, skipped: 1, unloadedFiles: 2, strayErrors: 1 })).toEqual([
      'no test was run',
      '1 tests were skipped',
      '2 test files failed to load: their tests are not counted',
      '1 errors outside any test',
    ])
  })
})
