/** Sources as messages say them: put into data in the page, made a folder again in the worker (worker/folders.ts). */
import type { AdapterFiles } from '../../../adapters.ts'
import { filePaths } from '../../../weights/filePaths.ts'
import type { FolderSource } from '../../host.ts'
import { serveFolder } from './folderPort.ts'
import type { SourceData } from './protocol.ts'

/** Data, and what has to be transferred with it. */
export interface SentSource {
  readonly data: SourceData
  readonly transfer: readonly Transferable[]
}

/** Made anew for each message: what is transferred can be sent only once. */
export function sendSource(source: FolderSource | AdapterFiles): SentSource {
  if (typeof source === 'string' || source instanceof URL) {
    // An address counts from the page, not from the worker's script.
    const base = globalThis.document?.baseURI ?? globalThis.location?.href
    return plain({ type: 'address', url: new URL(source, base).href })
  }
  if ('kind' in source) return plain({ type: 'directory', handle: source })
  if ('open' in source) {
    const { port1, port2 } = new MessageChannel()
    serveFolder(source, port1)
    const { name } = source
    return { data: { type: 'folder', name, canList: source.list !== undefined, port: port2 }, transfer: [port2] }
  }
  if ('config' in source) return plain({ type: 'adapter', files: source })
  // The paths are sent beside the files: not every browser's copy of a File keeps its webkitRelativePath.
  return plain({ type: 'files', name: 'picked files', files: filePaths(source) })
}

function plain(data: SourceData): SentSource {
  return { data, transfer: [] }
}
