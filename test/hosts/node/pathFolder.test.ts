/** Adapters by the path of a file: alone, beside its config, under any name, through links. */
import { cp, mkdir, mkdtemp, rename, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { folderOf } from '../../../src/hosts/host.ts'
import { pathFolder } from '../../../src/hosts/node/pathFolder.ts'
import { folderWithin } from '../../../src/hosts/node/roots.ts'
import { readAdapter } from '../../../src/lora/readAdapter.ts'
import type { Folder } from '../../../src/weights/folder.ts'
import { reference } from '../../fixtures.ts'
import { referenceSpec } from '../../lora/referenceAdapters.ts'

const spec = referenceSpec('llama-tiny')

describe("the path of an adapter's file", () => {
  let root: string
  let digest: string
  const digestOf = async (folder: Folder) => (await readAdapter(folder, spec)).adapter.digest

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'lorikeet-paths-'))
    const from = reference('adapters/llama-tiny/nemo-mcore-equal')
    await cp(from, join(root, 'peft'), { recursive: true })
    await cp(from, join(root, 'named'), { recursive: true })
    await rename(join(root, 'named/adapter_model.safetensors'), join(root, 'named/pirate.safetensors'))
    await cp(from, join(root, 'a.nemo'), { recursive: true })
    // As a hub's cache has it: names are links to files without any.
    await mkdir(join(root, 'cache/blobs'), { recursive: true })
    await mkdir(join(root, 'cache/snapshot'))
    for (const file of ['adapter_config.json', 'adapter_model.safetensors']) {
      await cp(join(from, file), join(root, 'cache/blobs', `blob-${file.length}`))
      await symlink(join(root, 'cache/blobs', `blob-${file.length}`), join(root, 'cache/snapshot', file))
    }
    await mkdir(join(root, 'archives'))
    for (const name of ['nemo-mcore', 'nemo-language-model']) {
      await cp(reference(`adapters/llama-tiny/${name}.nemo`), join(root, 'archives', `${name}.nemo`))
    }
    digest = await digestOf(pathFolder(join(root, 'peft')))
  })
  afterAll(() => rm(root, { recursive: true }))

  const paths = [
    'peft/adapter_model.safetensors',
    'named/pirate.safetensors',
    'cache/snapshot/adapter_model.safetensors',
    // Two in one folder: the path says which.
    'archives/nemo-mcore.nemo',
    // A folder that is called like a file.
    'a.nemo',
  ]

  it.each(paths)('%s is read as what it is', async (path) => {
    expect(await digestOf(pathFolder(join(root, path)))).toBe(digest)
    expect(await digestOf(await folderWithin(join(root, path), [root]))).toBe(digest)
  })

  it('is of that file, not of another beside it', async () => {
    await cp(join(root, 'named/pirate.safetensors'), join(root, 'peft/other.bin'))
    const folder = pathFolder(join(root, 'peft/other.bin'))
    expect(await folder.has('adapter_model.safetensors')).toBe(false)
    await expect(digestOf(folder)).rejects.toMatchObject({ param: expect.stringContaining('other.bin') })
  })

  it('is missed by its name, and not looked for outside of what may be read', async () => {
    const missing = join(root, 'peft/none.safetensors')
    await expect(digestOf(pathFolder(missing))).rejects.toMatchObject({ code: 'file_not_found' })
    await expect(folderWithin(missing, [root])).rejects.toMatchObject({ code: 'file_not_found' })
    await expect(folderWithin(join(root, 'peft/adapter_config.json'), [root])).rejects.toMatchObject({
      code: 'file_not_found',
    })
    await expect(folderWithin(join(root, 'named/pirate.safetensors'), [join(root, 'peft')])).rejects.toMatchObject({
      code: 'path_refused',
    })
    await symlink(join(root, 'named/pirate.safetensors'), join(root, 'peft/out.safetensors'))
    await expect(folderWithin(join(root, 'peft/out.safetensors'), [join(root, 'peft')])).rejects.toMatchObject({
      code: 'path_refused',
    })
  })

  it('is told from its name where it is an address', async () => {
    const folder = folderOf('https://example.org/a%20b/nemo.nemo?key=1', null)
    expect(folder.name).toBe('https://example.org/a%20b/nemo.nemo')
    expect(await folder.list?.()).toEqual(['nemo.nemo'])
    expect(folderOf('https://example.org/a/b', null).list).toBeUndefined()
  })
})
