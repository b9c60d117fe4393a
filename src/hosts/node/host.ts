/** Node as a host: Dawn's GPU, and paths that are directories, or files in them. */
import { openGpu } from '../../gpu/open.node.ts'
import type { Host } from '../port.ts'
import { pathFolder } from './pathFolder.ts'
import { folderWithin } from './roots.ts'
import { subfoldersOf } from './subfolders.ts'
import { tuningFiles } from './tuningFiles.ts'

export const nodeHost: Host = {
  openGpu,
  folder: pathFolder,
  folderWithin,
  subfolders: subfoldersOf,
  tuningStore: tuningFiles(),
}
