/**
 * A browser as a host, in a page or in a worker. There are no paths: what is not a full address is one relative to the
 * page, and files somebody picked or dropped come as `File`s.
 */
import { openGpu } from '../../gpu/open.browser.ts'
import { type Folder, urlFolder } from '../../weights/folder.ts'
import { SourceError } from '../../weights/source.ts'
import type { Host } from '../port.ts'
import { tuningCache } from './tuningCache.ts'

export const browserHost: Host = {
  openGpu,
  folder: (path) => urlFolder(addressOf(path)),
  folderWithin,
  tuningStore: tuningCache,
  subfolders(path) {
    throw new SourceError(
      'file_unreadable',
      path,
      `${path} cannot be listed: an address does not say what lies below it. Load each adapter by its own address.`,
    )
  },
}

/** Relative addresses count from the document, in a worker from its script. */
function addressOf(path: string): URL {
  return new URL(path, globalThis.document?.baseURI ?? globalThis.location.href)
}

/** Roots are addresses too. Dots in a path, also encoded ones, are gone once it is an address; encoded slashes are refused. */
async function folderWithin(path: string, roots: readonly string[]): Promise<Folder> {
  const wanted = URL.canParse(path, addressOf('').href) ? addressOf(path) : null
  const isBelow = (root: URL): boolean => {
    const rootPath = root.pathname.endsWith('/') ? root.pathname : `${root.pathname}/`
    return wanted?.origin === root.origin && `${wanted.pathname}/`.startsWith(rootPath)
  }
  const isPlain = wanted && /^https?:$/.test(wanted.protocol) && !/%(2f|5c)/i.test(wanted.pathname)
  if (isPlain && roots.map(addressOf).some(isBelow)) return urlFolder(wanted)
  const message = `${JSON.stringify(path.slice(0, 300))} is outside of the addresses that adapters may be loaded from.`
  throw new SourceError('path_refused', 'lora_path', message)
}
