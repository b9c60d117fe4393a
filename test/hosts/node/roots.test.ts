/** Paths that strangers write lead nowhere but below the roots, however they are written. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { folderWithin } from '../../../src/hosts/node/roots.ts'
import { SourceError } from '../../../src/weights/source.ts'

let base = ''
const at = (path: string): string => join(base, path)
const text = async (path: string, file: string, roots = [at('root')]): Promise<string> => {
  const source = await (await folderWithin(path, roots)).open(file)
  try {
    return new TextDecoder().decode(await source.read(0, source.size))
  } finally {
    await source.close()
  }
}

beforeAll(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'lorikeet-roots-')))
  for (const folder of ['root/pirate', 'root/deep/er', 'root-two', 'outside', 'blobs']) {
    mkdirSync(at(folder), { recursive: true })
  }
  writeFileSync(at('root/pirate/a'), 'inside')
  writeFileSync(at('outside/a'), 'secret')
  writeFileSync(at('root/file'), '')
  symlinkSync(at('outside'), at('root/escape'))
  symlinkSync('../outside', at('root/escape2'))
  symlinkSync('pirate', at('root/alias'))
  symlinkSync(at('outside/a'), at('root/pirate/link-out'))
  symlinkSync(at('root/pirate/a'), at('root/deep/link-in'))
  symlinkSync(at('root'), at('linked-root'))
  symlinkSync('loop', at('root/loop'))
})
afterAll(() => rmSync(base, { recursive: true }))

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  await work.then(
    () => 'none',
    (error) => (error instanceof SourceError ? error.code : String(error)),
  )

describe('a path', () => {
  it('below a root opens, also through links that stay there', async () => {
    expect(await text(at('root/pirate'), 'a')).toBe('inside')
    expect(await text(at('root/alias'), 'a')).toBe('inside')
    expect(await text(at('root/deep'), 'link-in')).toBe('inside')
    expect(await text(at('root/deep/../pirate/.'), 'a')).toBe('inside')
    expect(await text(relative(process.cwd(), at('root/pirate')), 'a')).toBe('inside')
    expect((await folderWithin(at('root/pirate'), [at('root')])).name).toBe(at('root/pirate'))
  })

  it('opens below a root that is a link itself, by either name', async () => {
    expect(await text(at('linked-root/pirate'), 'a', [at('linked-root')])).toBe('inside')
    expect(await text(at('root/pirate'), 'a', [at('linked-root')])).toBe('inside')
    expect(await text(at('linked-root/pirate'), 'a', [at('outside'), at('linked-root')])).toBe('inside')
  })

  it.each([
    'outside',
    'root/../outside',
    'root/pirate/../../outside',
    'root-two',
    'root/escape',
    'root/escape2',
    'root/escape/a',
    '',
    'nowhere',
    'linked-root/pirate',
  ])('%j below the test folder is refused', async (path) => {
    expect(await codeOf(folderWithin(at(path), [at('root')]))).toBe('path_refused')
  })

  it.each([
    '',
    '/',
    '/etc',
    '/proc/self/root/etc',
    '~',
    '~/x',
    '..',
    '../../../etc',
    'x\0',
    'https://a.example/x',
    'file:///etc',
  ])('%j is refused', async (path) => {
    expect(await codeOf(folderWithin(path, [at('root')]))).toBe('path_refused')
  })

  it('is refused everywhere when there are no roots', async () => {
    expect(await codeOf(folderWithin(at('root/pirate'), []))).toBe('path_refused')
  })

  it('outside is answered alike whether there is something or not, and names no root', async () => {
    const [there, not] = await Promise.all(
      ['outside', 'nothing'].map((path) => folderWithin(at(path), [at('root')]).catch((error: Error) => error.message)),
    )
    expect(String(there).replace('outside"', 'nothing"')).toBe(not)
    expect(there).not.toContain(at('root'))
    expect(there).toContain('--lora-root')
  })

  it('that is missing below a root, or no folder, is not found', async () => {
    expect(await codeOf(folderWithin(at('root/nobody'), [at('root')]))).toBe('file_not_found')
    expect(await codeOf(folderWithin(at('root/file'), [at('root')]))).toBe('file_not_found')
    expect(await codeOf(folderWithin(at('root/file/x'), [at('root')]))).toBe('file_not_found')
    expect(await codeOf(folderWithin(at('root/loop'), [at('root')]))).toBe('file_unreadable')
  })

  it('lets no file of the folder lead out either', async () => {
    expect(await codeOf(text(at('root/pirate'), 'link-out'))).toBe('path_refused')
    expect(await codeOf(text(at('root/pirate'), '../../outside/a'))).toBe('path_refused')
    expect(await codeOf(text(at('root/pirate'), 'none'))).toBe('file_not_found')
  })
})
