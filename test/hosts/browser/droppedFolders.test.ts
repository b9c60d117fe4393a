/** Drops as browsers describe them, made into sources. */
import { describe, expect, it } from 'vitest'
import { droppedFolders } from '../../../src/hosts/browser/page/droppedFolders.ts'
import { filePaths } from '../../../src/weights/filePaths.ts'

interface Tree {
  readonly [name: string]: string | Tree
}

function entry(name: string, content: string | Tree): object {
  if (typeof content === 'string') {
    const file = (resolve: (file: File) => void): void => resolve(new File([content], name))
    return { name, isFile: true, isDirectory: false, file }
  }
  const children = Object.entries(content).map(([child, below]) => entry(child, below))
  const createReader = (): object => {
    const left = [...children]
    return { readEntries: (resolve: (some: object[]) => void) => resolve(left.splice(0, 2)) }
  }
  return { name, isFile: false, isDirectory: true, createReader }
}

function drop(tree: Tree): Pick<DataTransfer, 'items'> {
  const files = Object.entries(tree).map(([name, content]) => ({
    kind: 'file',
    webkitGetAsEntry: () => entry(name, content),
  }))
  return { items: [{ kind: 'string' }, ...files] as unknown as DataTransferItemList }
}

describe('a drop', () => {
  it('of directories is a folder each, with everything below it', async () => {
    const folders = await droppedFolders(
      drop({ pirate: { 'a.json': '1', 'b.bin': '22', c: { 'd.txt': '333', 'e.txt': '' } }, tutor: { 'a.json': '4' } }),
    )
    const paths = folders.map(({ name, files }) => [
      name,
      filePaths(files).map(([path, { size }]) => `${path} ${size}`),
    ])
    expect(paths).toEqual([
      ['pirate', ['a.json 1', 'b.bin 2', 'c/d.txt 3', 'c/e.txt 0']],
      ['tutor', ['a.json 1']],
    ])
  })

  it('of loose files is one folder', async () => {
    const [folder, ...others] = await droppedFolders(
      drop({ 'adapter_config.json': '{}', 'adapter_model.safetensors': 'x' }),
    )
    expect(others).toEqual([])
    expect(folder!.name).toBe('adapter_config.json')
    expect(filePaths(folder!.files).map(([path]) => path)).toEqual(['adapter_config.json', 'adapter_model.safetensors'])
  })

  it('of text alone is none', async () => {
    expect(await droppedFolders(drop({}))).toEqual([])
  })
})
