/** One worker from its start to its end, as the page has it: what it is asked, and how its death is noticed. */
import { abortReason, type LorikeetError } from '../../../errors.ts'
import type { Link } from '../relay/fetchClient.ts'
import { type Locks, watchLifeline } from '../relay/lifeline.ts'
import type {
  FetchMessage,
  OpenData,
  OpenedData,
  OpenProgress,
  RemoteCall,
  RemoteCalls,
  Reply,
  WorkerEvent,
  WorkerMessage,
} from '../relay/protocol.ts'
import { errorOf, WorkerLostError } from '../relay/remoteError.ts'

/** What is needed of a Worker; tests hand in a port. */
export interface WorkerHandle {
  postMessage(message: WorkerMessage, transfer: Transferable[]): void
  terminate(): void
  onmessage: ((event: MessageEvent) => unknown) | null
  onerror: ((event: ErrorEvent) => unknown) | null
}

export interface LinkOptions {
  readonly locks: Locks | null
  readonly onLog?: ((event: Extract<WorkerEvent, { type: 'log' }>) => void) | undefined
}

export interface AskOptions {
  readonly transfer?: readonly Transferable[]
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: OpenProgress) => void) | undefined
  /** The worker is done with it. One that was aborted here is done a little later there. */
  readonly onOver?: (() => void) | undefined
}

export class WorkerLink implements Link {
  readonly #worker: WorkerHandle
  readonly #gone = new AbortController()
  readonly #options: LinkOptions
  #isOpen = false

  constructor(worker: WorkerHandle, options: LinkOptions) {
    this.#worker = worker
    this.#options = options
    worker.onmessage = ({ data }) => this.#receive(data as WorkerEvent)
    worker.onerror = ({ message, filename }) => {
      // Later errors are in the console; they do not end a worker.
      if (this.#isOpen) return
      const where = filename ? ` (${filename})` : ''
      const reason = message || 'its script could not be loaded'
      this.end(
        new WorkerLostError(`The worker did not start: ${reason}${where}. Is lorikeet/worker served, as a module?`),
      )
    }
  }

  /** Aborted with the reason when the worker is no more. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  /** @throws what opening threw in the worker, the signal's reason, or what the worker ended with */
  async open(options: OpenData, ask: AskOptions): Promise<OpenedData> {
    const opened = await this.#ask<OpenedData>((port) => ({ type: 'open', options, port }), ask)
    this.#isOpen = true
    return opened
  }

  /** Calls in the worker. @throws as open() */
  async call<Name extends RemoteCall>(
    method: Name,
    args: Parameters<RemoteCalls[Name]>,
    options: AskOptions = {},
  ): Promise<ReturnType<RemoteCalls[Name]>> {
    return await this.#ask((port) => ({ type: 'call', method, args, port }), options)
  }

  send(message: FetchMessage | Extract<WorkerMessage, { type: 'connect' }>, transfer: Transferable[]): void {
    this.#worker.postMessage(message, transfer)
  }

  /** Ends the worker; what is under way fails with `error`. */
  end(error: LorikeetError): void {
    if (this.gone.aborted) return
    this.#worker.onmessage = null
    this.#worker.onerror = null
    this.#worker.terminate()
    this.#gone.abort(error)
  }

  #receive(event: WorkerEvent): void {
    if (event.type === 'log') {
      this.#options.onLog?.(event)
      return
    }
    const onGone = (): void => {
      this.end(new WorkerLostError('The worker ended by itself, or was ended. The next use starts another.'))
    }
    watchLifeline(this.#options.locks, event.lifeline, { signal: this.gone, onGone })
  }

  #ask<Value>(message: (port: MessagePort) => WorkerMessage, options: AskOptions): Promise<Value> {
    const { transfer = [], signal, onProgress, onOver } = options
    return new Promise<Value>((resolve, reject) => {
      if (signal?.aborted) throw abortReason(signal)
      if (this.gone.aborted) throw this.gone.reason
      const { port1: port, port2 } = new MessageChannel()
      const leave = (): void => {
        signal?.removeEventListener('abort', onAbort)
        this.gone.removeEventListener('abort', onGone)
        port.onmessage = null
        port.close()
      }
      const onAbort = (): void => {
        port.postMessage({ type: 'abort' })
        reject(abortReason(signal!))
      }
      const onGone = (): void => {
        leave()
        onOver?.()
        reject(this.gone.reason as Error)
      }
      signal?.addEventListener('abort', onAbort)
      this.gone.addEventListener('abort', onGone)
      port.onmessage = ({ data }) => {
        const reply = data as Reply
        if (reply.type === 'progress') {
          onProgress?.(reply.progress)
          return
        }
        leave()
        onOver?.()
        if (reply.type === 'result') resolve(reply.value as Value)
        else reject(errorOf(reply.error))
      }
      try {
        this.#worker.postMessage(message(port2), [port2, ...transfer])
      } catch (error) {
        leave()
        throw error // a DataCloneError: something in the options cannot be sent
      }
    })
  }
}
