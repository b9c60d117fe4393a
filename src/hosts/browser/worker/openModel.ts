/** Opens the real thing in a worker: the model a message describes, on this host's GPU, with its files kept in OPFS. */
import type { AdapterRecord } from '../../../lora/registry.ts'
import { Lorikeet } from '../../../lorikeet.ts'
import type { LoadData, OpenData, SourceData } from '../relay/protocol.ts'
import { Files } from './files.ts'
import type { OpenHooks, OpenModel } from './workerServer.ts'

export async function openModel(
  { model, adapters, cache, ...options }: OpenData,
  { signal, onProgress, log }: OpenHooks,
): Promise<OpenModel> {
  const files = await Files.open(cache, onProgress)
  const bird = await files.load(model, (folder) =>
    Lorikeet.open({
      ...options,
      ...{ model: folder, signal, log },
      onProgress: (progress) => files.report({ phase: 'weights', ...progress }),
    }),
  )
  const load = (name: string, source: SourceData, how: LoadData, until: AbortSignal): Promise<AdapterRecord> => {
    files.report({ phase: 'adapters', file: name, loadedBytes: 0, totalBytes: 0 })
    return files.load(source, (folder) => bird.adapters.load(name, folder, { ...how, signal: until }))
  }
  try {
    for (const { name, source, ...how } of adapters) await load(name, source, how, signal)
  } catch (error) {
    await bird.close()
    throw error
  }
  files.report({ phase: 'ready', loadedBytes: 0, totalBytes: 0 })
  const { can } = bird.runtime.gpu
  return {
    opened: {
      modelNames: bird.modelNames,
      device: { name: can.adapter, isSoftware: can.software, capabilities: can },
    },
    fetch: (request) => bird.fetch(request),
    calls: {
      loadAdapter: ([name, source, how], until) => load(name, source, how, until),
      unloadAdapter: ([name]) => bird.adapters.unload(name),
      checkAdapter: ([source, how], until) =>
        files.load(source, (folder) => bird.adapters.check(folder, { ...how, signal: until })),
      listAdapters: async () => bird.adapters.list(),
      adapterStatus: async () => bird.adapters.status(),
      close: () => bird.close(),
    },
  }
}
