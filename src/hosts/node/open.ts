/** lorikeet on a Node process: paths instead of folders, and Dawn's GPU. */
import type { DeviceWish } from '../../gpu/capabilities.ts'
import { openGpu } from '../../gpu/open.node.ts'
import { Lorikeet, type StartOptions } from '../../lorikeet.ts'
import { directoryFolder } from './files.ts'

export interface AdapterPath {
  readonly name: string
  /** A PEFT folder. */
  readonly path: string
}

export interface OpenOptions extends StartOptions {
  /** A Hugging Face folder. */
  readonly model: string
  /** Adapters to load at once. */
  readonly adapters?: readonly AdapterPath[]
  /** What of the device to leave unused. */
  readonly gpu?: DeviceWish
}

/**
 * Opens a model of this machine with its adapters.
 * @throws NoGpuError, and a LorikeetError naming the file, field or tensor at fault; nothing is left on the GPU then.
 */
export async function openLorikeet({ model, adapters = [], gpu: wish, ...options }: OpenOptions): Promise<Lorikeet> {
  const gpu = await openGpu(wish)
  const bird = await Lorikeet.start(gpu, directoryFolder(model), options)
  try {
    for (const { name, path } of adapters) {
      await bird.adapters.load(name, directoryFolder(path), options.signal ? { signal: options.signal } : {})
    }
    return bird
  } catch (error) {
    await bird.close()
    throw error
  }
}
