/** Which host this code runs on, and what a path, an address or picked files mean there. */
import { NoGpuError } from '../gpu/errors.ts'
import { type Folder, filesFolder, memoryFolder, urlFolder } from '../weights/folder.ts'
import type { Host } from './port.ts'

/** Where a model or an adapter is: a path or an http(s) address, files somebody picked, or a folder of any other kind. */
export type FolderSource = string | URL | Folder | readonly File[]

/** The host this code runs on. @throws NoGpuError where there is none that lorikeet knows. */
export async function currentHost(): Promise<Host> {
  if (typeof process === 'object' && process.versions?.node) return (await import('./node/host.ts')).nodeHost
  throw new NoGpuError(
    'This host is not one lorikeet can open a GPU on by itself. Open one with Gpu.open() and pass it as `gpu`.',
  )
}

/** The folder that `source` stands for; `host` is asked only for paths. */
export function folderOf(source: FolderSource, host: Host | null): Folder {
  if (typeof source === 'string' && /^https?:\/\//.test(source)) return urlFolder(source)
  if (source instanceof URL) return urlFolder(source.href)
  if (typeof source === 'string') return host ? host.folder(source) : memoryFolder(source, {})
  return 'open' in source ? source : filesFolder('picked files', source)
}
