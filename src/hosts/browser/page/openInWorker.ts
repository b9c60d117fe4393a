/** `openInWorker`: a model in a dedicated worker, where computing never holds the page up. Nothing of the engine is here. */
import type { RuntimeLora } from '../../../adapters.ts'
import type { HandlerOptions } from '../../../api/handler.ts'
import type { LogSink } from '../../../api/service.ts'
import type { EngineSizes } from '../../../engine/sizes.ts'
import type { DeviceWish } from '../../../gpu/capabilities.ts'
import type { AdapterWish } from '../../../lorikeet.ts'
import type { FolderSource } from '../../host.ts'
import { locksHere } from '../relay/lifeline.ts'
import type { CacheData, EngineData, OpenData, OpenProgress } from '../relay/protocol.ts'
import { WorkerLostError } from '../relay/remoteError.ts'
import { sendSource } from '../relay/sources.ts'
import { type LoadedSource, type OpenedLink, RemoteLorikeet } from './remoteLorikeet.ts'
import { WorkerLink } from './workerLink.ts'

export interface WorkerOptions extends Omit<HandlerOptions, 'corsOrigins'> {
  /** A Hugging Face folder: an address (relative ones count from the page), picked or dropped files, a directory's handle. */
  readonly model: FolderSource
  /** Adapters to load at once. */
  readonly adapters?: readonly AdapterWish[]
  /** Names the base answers to. Default: the last part of the folder's name. */
  readonly servedModelNames?: readonly string[]
  readonly sizes?: EngineSizes
  readonly engine?: EngineData
  /** Lets requests load and unload adapters from below these addresses. Default: they may not. */
  readonly runtimeLora?: RuntimeLora
  /** Most adapters in host memory, and most bytes of them; more are refused. Default: any. */
  readonly maxHostLoras?: number
  readonly loraHostMemory?: number
  /** Whether files from addresses are kept for the next visit. Default true, where the browser can. */
  readonly cache?: boolean | CacheOptions
  /** What of the GPU to leave unused. */
  readonly gpu?: Omit<DeviceWish, 'faults'>
  /**
   * Starts the worker, where a bundler cannot find it by itself:
   * `() => new Worker(new URL('lorikeet/worker', import.meta.url), { type: 'module' })`.
   */
  readonly worker?: () => Worker
  /** Ends the opening. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: OpenProgress) => void
  readonly log?: LogSink
}

export interface CacheOptions extends CacheData {}

/**
 * Opens a model in a worker of its own. When the worker dies, what is under way fails with a WorkerLostError and the next
 * use starts another.
 * @throws WorkerLostError where no worker can be started; RemoteError with the `code` of what failed in it; the signal's reason
 */
export async function openInWorker(options: WorkerOptions): Promise<RemoteLorikeet> {
  const { adapters = [], log, signal: _, ...again } = options
  const first = await openLink(options, adapters)
  return new RemoteLorikeet({ open: () => openLink({ ...again, ...(log && { log }) }, []), adapters, log }, first)
}

async function openLink(options: WorkerOptions, adapters: readonly LoadedSource[]): Promise<OpenedLink> {
  const { log, onProgress, signal } = options
  const link = new WorkerLink((options.worker ?? startWorker)(), {
    locks: locksHere(),
    onLog: log && (({ level, message, fields }) => log(level, message, fields)),
  })
  const end = (): void => link.end(new WorkerLostError('The model could not be opened.'))
  try {
    const { data, transfer } = sendOptions(options, adapters)
    const onOver = (): void => (signal?.aborted ? end() : undefined)
    return { link, opened: await link.open(data, { transfer, signal, onProgress, onOver }) }
  } catch (error) {
    // A worker whose opening was aborted puts away what it has downloaded so far, and says when it has.
    if (signal?.aborted) setTimeout(end, LAST_WORDS_MS)
    else end()
    throw error
  }
}

/** Longest wait for a worker that was told to stop opening. */
const LAST_WORDS_MS = 5000

/** Written so that bundlers see it: they make the worker a file of its own and put its address here. */
function startWorker(): Worker {
  return new Worker(new URL('../worker/main.ts', import.meta.url), { type: 'module', name: 'lorikeet' })
}

function sendOptions(
  options: WorkerOptions,
  adapters: readonly LoadedSource[],
): { readonly data: OpenData; readonly transfer: readonly Transferable[] } {
  const { model, cache = true, adapters: _, worker, signal, onProgress, log, ...plain } = options
  const sentModel = sendSource(model)
  const sentAdapters = adapters.map(({ source, ...rest }) => ({ rest, sent: sendSource(source) }))
  return {
    data: {
      ...plain,
      model: sentModel.data,
      adapters: sentAdapters.map(({ rest, sent }) => ({ ...rest, source: sent.data })),
      cache: cache === true ? {} : cache || null,
    },
    transfer: [sentModel, ...sentAdapters.map(({ sent }) => sent)].flatMap(({ transfer }) => transfer),
  }
}
