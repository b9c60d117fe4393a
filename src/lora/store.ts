/**
 * Where an adapter came from, as the place where its bytes can be had again. What comes back is held to the digest it had
 * when it was loaded: files that have changed since are another adapter, and never served under the old one's identity.
 */
import { LorikeetError } from '../errors.ts'
import { SourceError } from '../weights/source.ts'
import { AdapterRefusedError } from './errors.ts'
import type { HostAdapter } from './packing.ts'

/** A folder, an address or picked files that hold an adapter. */
export interface AdapterStore {
  /** Path or address, for messages. */
  readonly name: string
  /** Reads it again. @throws what reading an adapter throws, or the signal's reason */
  read(signal: AbortSignal): Promise<HostAdapter>
}

export type AdapterLossCode =
  /** What lies there now is another adapter, or none. */
  | 'adapter_files_changed'
  /** Nothing lies there any more. */
  | 'adapter_files_gone'
  /** It is there and cannot be read now. */
  | 'adapter_files_unreadable'

/** An adapter was not in memory, and its files do not give it back. It may work again later: a directory may be followed. */
export class AdapterLostError extends LorikeetError {
  readonly code: AdapterLossCode
  override readonly status = 503
  override readonly param = 'model'

  constructor(code: AdapterLossCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/**
 * The adapter with this digest out of the first of `stores` that has it.
 * @throws AdapterLostError that names the adapter and says what became of its files; the signal's reason
 */
export async function readAgain(
  name: string,
  digest: string,
  stores: Iterable<AdapterStore>,
  signal: AbortSignal,
): Promise<HostAdapter> {
  let loss: AdapterLostError | null = null
  for (const store of stores) {
    try {
      const adapter = await store.read(signal)
      if (adapter.digest === digest) return adapter
      loss ??= lost(name, 'adapter_files_changed', `the files in ${store.name} have changed since it was loaded`)
    } catch (error) {
      if (signal.aborted || !(error instanceof LorikeetError)) throw error
      loss ??= lossFrom(error, name, store)
    }
  }
  throw loss ?? lost(name, 'adapter_files_gone', 'it came from nowhere that could be read again')
}

function lossFrom(error: LorikeetError, name: string, store: AdapterStore): AdapterLostError {
  if (GONE.has(error.code)) {
    return lost(name, 'adapter_files_gone', `its files are gone from ${store.name}`, error)
  }
  if (error instanceof SourceError && error.code === 'file_unreadable') {
    return lost(name, 'adapter_files_unreadable', `its files could not be read (${error.message})`, error)
  }
  // It was in order when it was loaded, so it has changed, or is being changed.
  const said = error instanceof AdapterRefusedError ? 'are refused now' : 'are broken now'
  return lost(
    name,
    'adapter_files_changed',
    `the files in ${store.name} have changed and ${said}: ${error.message}`,
    error,
  )
}

const GONE: ReadonlySet<string> = new Set(['file_not_found', 'adapter_config_missing', 'adapter_weights_missing'])

function lost(name: string, code: AdapterLossCode, what: string, cause?: LorikeetError): AdapterLostError {
  const message = `Adapter "${name}" is not in memory, and ${what}. Load it again.`
  return new AdapterLostError(code, message, cause && { cause })
}
