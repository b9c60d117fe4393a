/**
 * An adapter by the path of its file rather than its folder: a `.nemo` archive is all of it; weights in PEFT's format have
 * their adapter_config.json beside them, whatever they are called.
 */
import { type Folder, notFound } from '../weights/folder.ts'

const FILE = /^(.*?)([^/\\]+\.(nemo|safetensors|bin|pt))$/i

/** The folder and the name of an adapter's file, as a path or an address would write one; null for any other path. */
export function splitAdapterFile(path: string): { readonly folder: string; readonly file: string } | null {
  const [, folder, file] = FILE.exec(path) ?? []
  return folder === undefined || file === undefined ? null : { folder, file }
}

/** A folder as it is seen from one of the files in it, of the kind that splitAdapterFile() finds. */
export function folderOfFile(folder: Folder, file: string, name: string): Folder {
  const extension = file.slice(file.lastIndexOf('.')).toLowerCase()
  if (extension === '.nemo') return archiveAlone(folder, file, name)
  const own = `adapter_model${extension}`
  // Other weights that lie there are those of another adapter.
  const actual = (path: string): string | null =>
    path === own ? file : /^adapter_model\./.test(path) || path === file ? null : path
  return {
    name,
    ...(folder.isInMemory && { isInMemory: true }),
    async open(path, signal) {
      const found = actual(path)
      if (found === null) throw notFound(name, path)
      return await folder.open(found, signal)
    },
    async has(path, signal) {
      const found = actual(path)
      return found !== null && (await folder.has(found, signal))
    },
  }
}

function archiveAlone(folder: Folder, file: string, name: string): Folder {
  return {
    name,
    ...(folder.isInMemory && { isInMemory: true }),
    async open(path, signal) {
      if (path !== file) throw notFound(name, path)
      return await folder.open(file, signal)
    },
    has: async (path, signal) => path === file && (await folder.has(file, signal)),
    list: async () => [file],
  }
}
