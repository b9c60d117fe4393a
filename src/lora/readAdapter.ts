/** A folder with an adapter of any format into the normal form. */
import type { ModelSpec } from '../model/spec.ts'
import { part } from '../part.ts'
import type { Folder } from '../weights/folder.ts'
import { AdapterRefusedError } from './errors.ts'
import type { HostAdapter } from './packing.ts'
import { readPeftAdapter } from './peft.ts'
import { CONFIG_FILE } from './peftConfig.ts'
import type { ReadAdapterOptions } from './readPlan.ts'

export interface ReadAdapter {
  readonly format: 'peft' | 'nemo'
  readonly adapter: HostAdapter
  /** What was ignored and why that changes nothing, in sentences for the log. */
  readonly notes: readonly string[]
}

/**
 * Reads the adapter in `folder`: a PEFT folder, or one that holds a single `.nemo` file.
 * @throws AdapterRefusedError (status 400) when it cannot be computed exactly, and the errors of its files' formats
 */
export async function readAdapter(
  folder: Folder,
  spec: ModelSpec,
  options: ReadAdapterOptions = {},
): Promise<ReadAdapter> {
  const nemo = await findNemo(folder, options.signal)
  if (nemo === null) return { format: 'peft', ...(await readPeftAdapter(folder, spec, options)) }
  const { readNemoAdapter } = await part(() => import('./nemo.ts'))
  const source = await folder.open(nemo, options.signal)
  try {
    return { format: 'nemo', adapter: await readNemoAdapter(source, spec, options), notes: [] }
  } finally {
    await source.close()
  }
}

/** The `.nemo` file of a folder without a PEFT config; null where there is none. */
async function findNemo(folder: Folder, signal?: AbortSignal): Promise<string | null> {
  if (!folder.list || (await folder.has(CONFIG_FILE, signal))) return null
  const archives = (await folder.list()).filter((path) => path.endsWith('.nemo'))
  if (archives.length <= 1) return archives[0] ?? null
  const message = `${folder.name} holds ${archives.length} .nemo files; an adapter is one per folder.`
  throw new AdapterRefusedError('adapter_config_invalid', archives[1]!, message)
}
