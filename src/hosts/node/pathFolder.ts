/** The folder at a path, or the one in which a path finds an adapter's file. */
import { stat } from 'node:fs/promises'
import { folderOfFile, splitAdapterFile } from '../../lora/adapterFile.ts'
import type { Folder } from '../../weights/folder.ts'
import { directoryFolder } from './files.ts'

/** Like directoryFolder(); what the path is, is looked at when a file is asked for. */
export function pathFolder(path: string): Folder {
  const found = splitAdapterFile(path)
  if (!found) return directoryFolder(path)
  const directory = directoryFolder(path)
  const seen = folderOfFile(directoryFolder(found.folder || '.'), found.file, path)
  // A folder may be called like a file; what is not there at all is missed as a folder.
  const folder = async (): Promise<Folder> => ((await isFile(path)) ? seen : directory)
  return {
    name: path,
    open: async (file, signal) => await (await folder()).open(file, signal),
    has: async (file, signal) => await (await folder()).has(file, signal),
    list: async () => (await (await folder()).list?.()) ?? [],
  }
}

export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() ?? false
}
