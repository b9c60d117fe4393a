/** What the library asks of the host it runs on; every folder beside this file answers it for one host. */
import type { DeviceWish } from '../gpu/capabilities.ts'
import type { Gpu } from '../gpu/gpu.ts'
import type { Folder } from '../weights/folder.ts'

export interface Host {
  /** @throws NoGpuError */
  openGpu(wish: DeviceWish): Promise<Gpu>
  /** The folder at a path of this host. */
  folder(path: string): Folder
}
