/** What a path, an address or picked files mean on a host. */

import { folderOfFile, splitAdapterFile } from '../lora/adapterFile.ts'
import { directoryHandleFolder } from '../weights/directoryHandle.ts'
import { type Folder, filesFolder, memoryFolder, urlFolder } from '../weights/folder.ts'
import type { Host } from './port.ts'

/**
 * Where a model or an adapter is: a path or an http(s) address (of an adapter's file, too), files somebody picked, a directory's handle, or a folder of
 * any other kind.
 */
export type FolderSource = string | URL | Folder | FileSystemDirectoryHandle | readonly File[]

/** The folder that `source` stands for; `host` is asked only for paths. */
export function folderOf(source: FolderSource, host: Host | null): Folder {
  if (typeof source === 'string' && /^https?:\/\//.test(source)) return addressFolder(new URL(source))
  if (source instanceof URL) return addressFolder(source)
  if (typeof source === 'string') return host ? host.folder(source) : memoryFolder(source, {})
  if ('kind' in source) return directoryHandleFolder(source)
  return 'open' in source ? source : filesFolder('picked files', source)
}

/** What is at an address is told by its name alone. */
function addressFolder(url: URL): Folder {
  const found = splitAdapterFile(url.pathname)
  if (!found) return urlFolder(url.href)
  const folder = new URL(url)
  folder.pathname = found.folder
  return folderOfFile(urlFolder(folder), decodeURIComponent(found.file), url.origin + url.pathname)
}
