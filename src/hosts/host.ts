/** What a path, an address or picked files mean on a host. */
import { directoryHandleFolder } from '../weights/directoryHandle.ts'
import { type Folder, filesFolder, memoryFolder, urlFolder } from '../weights/folder.ts'
import type { Host } from './port.ts'

/**
 * Where a model or an adapter is: a path or an http(s) address, files somebody picked, a directory's handle, or a folder of
 * any other kind.
 */
export type FolderSource = string | URL | Folder | FileSystemDirectoryHandle | readonly File[]

/** The folder that `source` stands for; `host` is asked only for paths. */
export function folderOf(source: FolderSource, host: Host | null): Folder {
  if (typeof source === 'string' && /^https?:\/\//.test(source)) return urlFolder(source)
  if (source instanceof URL) return urlFolder(source.href)
  if (typeof source === 'string') return host ? host.folder(source) : memoryFolder(source, {})
  if ('kind' in source) return directoryHandleFolder(source)
  return 'open' in source ? source : filesFolder('picked files', source)
}
