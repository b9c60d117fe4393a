/** What a look at a real directory tells, and when it tells something else. */
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { subfoldersOf } from '../../../src/hosts/node/subfolders.ts'

let root = ''

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lorikeet-subfolders-'))
  mkdirSync(join(root, 'adapters/pirate'), { recursive: true })
  writeFileSync(join(root, 'adapters/pirate/a'), 'one')
})
afterEach(() => {
  rmSync(root, { recursive: true })
})

const open = () => subfoldersOf(join(root, 'adapters'))
const at = (path: string): string => join(root, 'adapters', path)

/** Long enough ago that a listing may be remembered. */
function age(path: string): void {
  const then = new Date(Date.now() - 60_000)
  utimesSync(path, then, then)
}

describe('a look', () => {
  it('finds folders and links to folders, and nothing else', async () => {
    mkdirSync(join(root, 'elsewhere'))
    symlinkSync(join(root, 'elsewhere'), at('linked'))
    symlinkSync(join(root, 'nowhere'), at('dangling'))
    symlinkSync(at('pirate/a'), at('to-a-file'))
    symlinkSync('loop', at('loop'))
    mkdirSync(at('.hidden'))
    writeFileSync(at('file'), '')
    const found = await open().list()
    expect(found.map(({ name, stamp }) => [name, stamp !== null])).toEqual([
      ['linked', true],
      ['loop', false],
      ['pirate', true],
    ])
  })

  it('finds the same in what nobody touched', async () => {
    const subfolders = open()
    const [first] = await subfolders.list()
    expect(await subfolders.list()).toEqual([first])
    expect(await subfolders.look('pirate')).toEqual(first)
    expect(await subfolders.look('nobody')).toBeNull()
  })

  const changes: Record<string, () => void> = {
    'a file that grew': () => writeFileSync(at('pirate/a'), 'longer'),
    'a file of the same length': () => {
      writeFileSync(at('pirate/a'), 'two')
      age(at('pirate/a'))
    },
    'a file that was put in its place': () => {
      writeFileSync(at('pirate/b'), 'two')
      renameSync(at('pirate/b'), at('pirate/a'))
    },
    'a file that came': () => writeFileSync(at('pirate/b'), ''),
    'a file that went': () => rmSync(at('pirate/a')),
    'a file behind a link': () => writeFileSync(join(root, 'blob'), 'two'),
  }
  it.each(Object.entries(changes))('tells %s, also when the folder looks old', async (_, change) => {
    writeFileSync(join(root, 'blob'), 'one')
    symlinkSync(join(root, 'blob'), at('pirate/link'))
    age(at('pirate/a'))
    age(at('pirate'))
    const subfolders = open()
    const [before] = await subfolders.list()
    await subfolders.list()
    change()
    const [after] = await subfolders.list()
    expect(after!.stamp).not.toBe(before!.stamp)
  })

  it('tells a folder that may not be read from one that is gone', async () => {
    chmodSync(at('pirate'), 0)
    const [found] = await open().list()
    chmodSync(at('pirate'), 0o700)
    // Root may read everything.
    if (process.getuid?.() === 0) expect(found!.stamp).not.toBeNull()
    else expect(found).toMatchObject({ stamp: null, problem: expect.stringContaining('pirate could not be read') })
  })

  it('says when there is no directory at all', async () => {
    await expect(subfoldersOf(join(root, 'none')).list()).rejects.toMatchObject({ code: 'file_not_found' })
    await expect(subfoldersOf(at('pirate/a')).list()).rejects.toMatchObject({ code: 'file_not_found' })
  })
})
