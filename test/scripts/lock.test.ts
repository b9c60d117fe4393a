/** Two set-ups begun together run one after the other. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { withLock } from '../../scripts/lib/lock.mjs'

describe('withLock', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lorikeet-lock-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('lets one body run at a time, and gives back its result', async () => {
    let running = 0
    const body = async () => {
      running += 1
      expect(running).toBe(1)
      await setImmediate()
      running -= 1
      return 'done'
    }
    expect(await Promise.all([1, 2, 3].map(() => withLock(folder, body)))).toEqual(['done', 'done', 'done'])
    expect(existsSync(join(folder, 'setup.lock'))).toBe(false)
  })

  it('is free again after a failure', async () => {
    await expect(withLock(folder, () => Promise.reject(new Error('offline')))).rejects.toThrow('offline')
    expect(await withLock(folder, async () => 1)).toBe(1)
  })

  it('takes over from a process that is gone', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    writeFileSync(join(folder, 'setup.lock'), `${pid}`)
    expect(await withLock(folder, async () => 1)).toBe(1)
  })
})
