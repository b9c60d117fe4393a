/** What the library asks of the host it runs on; every folder beside this file answers it for one host. */
import type { DeviceWish } from '../gpu/capabilities.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Subfolders } from '../lora/directory.ts'
import type { TuningStore } from '../model/tuner/tuningStore.ts'
import type { Folder } from '../weights/folder.ts'

export interface Host {
  /** @throws NoGpuError */
  openGpu(wish: DeviceWish): Promise<Gpu>
  /** The folder at a path of this host. */
  folder(path: string): Folder
  /**
   * The folder at a path that somebody else wrote, if it lies below one of `roots` with every link followed.
   * @throws SourceError: `path_refused`, `file_not_found`, …
   */
  folderWithin(path: string, roots: readonly string[]): Promise<Folder>
  /** The sub-folders of a directory, to be looked at again and again. */
  subfolders(path: string): Subfolders
  /** Where findings about the device's kernels are kept. Absent: with the process. */
  readonly tuningStore?: TuningStore
}
