import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { directoryFolder, openFile } from '../../../src/hosts/node/files.ts'
import { SourceError } from '../../../src/weights/source.ts'

let root = ''
const content = Uint8Array.from({ length: 5000 }, (_, i) => i % 251)

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'lorikeet-files-'))
  mkdirSync(join(root, 'model/sub'), { recursive: true })
  writeFileSync(join(root, 'model/a.bin'), content)
  writeFileSync(join(root, 'model/empty'), '')
  writeFileSync(join(root, 'model/sub/b.bin'), 'sub')
  writeFileSync(join(root, 'outside'), 'outside')
  symlinkSync('../outside', join(root, 'model/link'))
  symlinkSync('../nowhere', join(root, 'model/dangling'))
})
afterAll(() => rmSync(root, { recursive: true }))

describe('openFile', () => {
  it('reads any range', async () => {
    const file = await openFile(join(root, 'model/a.bin'))
    expect(file.size).toBe(5000)
    expect(await file.read(100, 4000)).toEqual(content.slice(100, 4100))
    const target = new Uint8Array(6).fill(7)
    await file.readInto(4998, target.subarray(1, 3))
    expect([...target]).toEqual([7, content[4998], content[4999], 7, 7, 7])
    expect((await file.read(5000, 0)).byteLength).toBe(0)
    await expect(file.read(4999, 2)).rejects.toMatchObject({ code: 'read_out_of_range' })
    await file.close()
    await file.close()
    await expect(file.read(0, 1)).rejects.toThrow('is closed')
  })

  it('reads many ranges at once', async () => {
    const file = await openFile(join(root, 'model/a.bin'))
    const parts = await Promise.all(Array.from({ length: 20 }, (_, i) => file.read(i * 250, 250)))
    expect(Buffer.concat(parts)).toEqual(Buffer.from(content))
    await file.close()
  })

  it('notices a file that was cut while it is open', async () => {
    const path = join(root, 'shrinking')
    writeFileSync(path, content)
    const file = await openFile(path)
    truncateSync(path, 10)
    await expect(file.read(0, 100)).rejects.toMatchObject({
      code: 'file_truncated',
      message: `${path} ended early: 10 of 100 bytes at offset 0. Was it changed or cut off?`,
    })
    await file.close()
  })

  it('says what is wrong with a path', async () => {
    await expect(openFile(join(root, 'none'))).rejects.toMatchObject({
      code: 'file_not_found',
      message: `${join(root, 'none')} does not exist.`,
    })
    await expect(openFile(join(root, 'outside/x'))).rejects.toMatchObject({ code: 'file_not_found' })
    await expect(openFile(join(root, 'model'))).rejects.toMatchObject({
      code: 'file_unreadable',
      message: `${join(root, 'model')} is not a file.`,
    })
    await expect(openFile(join(root, 'a\0b'))).rejects.toBeInstanceOf(SourceError)
  })

  it.runIf(process.platform !== 'win32')('does not wait for the writer of a pipe', async () => {
    const pipe = join(root, 'pipe')
    execFileSync('mkfifo', [pipe])
    await expect(openFile(pipe)).rejects.toThrow('is not a file')
  })
})

describe('directoryFolder', () => {
  it('opens, lists and knows its files, links among them', async () => {
    const folder = directoryFolder(join(root, 'model'))
    expect(await folder.list!()).toEqual(['a.bin', 'empty', 'link'])
    const sub = await folder.open('sub/b.bin')
    expect(new TextDecoder().decode(await sub.read(0, 3))).toBe('sub')
    await sub.close()
    const link = await folder.open('link')
    expect(link.size).toBe(7)
    await link.close()
    expect(await folder.has('a.bin')).toBe(true)
    expect(await folder.has('sub')).toBe(false)
    expect(await folder.has('dangling')).toBe(false)
  })

  it('refuses what lies outside', async () => {
    const folder = directoryFolder(join(root, 'model'))
    for (const path of ['../outside', '/etc/passwd', 'sub/../../outside', 'sub\\b.bin', '']) {
      await expect(folder.open(path)).rejects.toMatchObject({ code: 'path_refused' })
      await expect(folder.has(path)).rejects.toMatchObject({ code: 'path_refused' })
    }
  })

  it('tells a missing file from a missing directory', async () => {
    const folder = directoryFolder(join(root, 'model'))
    await expect(folder.open('none')).rejects.toMatchObject({
      code: 'file_not_found',
      param: 'none',
      message: `There is no none in ${join(root, 'model')}.`,
    })
    const missing = directoryFolder(join(root, 'mdoel'))
    await expect(missing.open('config.json')).rejects.toMatchObject({
      code: 'file_not_found',
      param: join(root, 'mdoel'),
      message: `${join(root, 'mdoel')} does not exist. Looked for config.json in it.`,
    })
    await expect(missing.list!()).rejects.toMatchObject({ code: 'file_not_found' })
    await expect(directoryFolder(join(root, 'outside')).open('x')).rejects.toThrow('outside is not a directory')
  })
})
