import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { tuningFiles } from '../../../src/hosts/node/tuningFiles.ts'

describe('tuningFiles', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lorikeet-tuning-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  it('keep a text for each key, also in a folder that is not there yet', async () => {
    const store = tuningFiles(join(folder, 'a', 'b'))
    expect(await store.read('one')).toBeNull()
    await store.write('one', '{"x": 1}')
    await store.write('two', '{"x": 2}')
    await store.write('one', '{"x": 3}')
    expect(await tuningFiles(join(folder, 'a', 'b')).read('one')).toBe('{"x": 3}\n')
    expect(await store.read('two')).toBe('{"x": 2}\n')
    const files = await readdir(join(folder, 'a', 'b'))
    expect(files.length).toBe(2) // nothing unfinished is left
    expect(files.every((name) => /^[0-9a-f]{16}\.json$/.test(name))).toBe(true)
  })

  it('do not take what is about something else', async () => {
    const store = tuningFiles(folder)
    await store.write('one', '{}')
    const [file] = await readdir(folder)
    expect(await readFile(join(folder, file!), 'utf8')).toBe('one\n{}\n')
    await writeFile(join(folder, file!), 'other\n{}\n')
    expect(await store.read('one')).toBeNull()
  })
})
