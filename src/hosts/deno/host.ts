/** Deno as a host: two kinds of WebGPU, and paths that are directories, read through its node: modules. */
import { openGpu } from '../../gpu/open.deno.ts'
import { pathFolder } from '../node/pathFolder.ts'
import { folderWithin } from '../node/roots.ts'
import { subfoldersOf } from '../node/subfolders.ts'
import { tuningFiles } from '../node/tuningFiles.ts'
import type { Host } from '../port.ts'

export const denoHost: Host = {
  openGpu,
  folder: pathFolder,
  folderWithin,
  subfolders: subfoldersOf,
  tuningStore: tuningFiles(),
}
