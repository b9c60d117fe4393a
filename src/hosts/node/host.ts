/** Node as a host: Dawn's GPU, and paths that are directories. */
import { openGpu } from '../../gpu/open.node.ts'
import type { Host } from '../port.ts'
import { directoryFolder } from './files.ts'
import { folderWithin } from './roots.ts'
import { subfoldersOf } from './subfolders.ts'

export const nodeHost: Host = {
  openGpu,
  folder: (path) => directoryFolder(path),
  folderWithin,
  subfolders: subfoldersOf,
}
