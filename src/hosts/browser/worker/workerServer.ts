/**
 * The worker's end of every exchange: opens one model, answers requests and calls on their ports, and takes connections of
 * others who may only fetch. What a model is, it is told: tests hand in a scripted one.
 */
import type { Handler } from '../../../api/handler.ts'
import type { LogSink } from '../../../api/service.ts'
import { InvariantError, LorikeetError } from '../../../errors.ts'
import { answerFetch } from '../relay/fetchServer.ts'
import { holdLifeline, type Locks, watchLifeline } from '../relay/lifeline.ts'
import type {
  ControlMessage,
  FetchMessage,
  OpenData,
  OpenedData,
  OpenProgress,
  RemoteCall,
  RemoteCalls,
  Reply,
  VisitorMessage,
  WelcomeMessage,
  WorkerEvent,
  WorkerMessage,
} from '../relay/protocol.ts'
import { errorData } from '../relay/remoteError.ts'

/** A model that is open in this worker. */
export interface OpenModel {
  readonly opened: OpenedData
  readonly fetch: Handler
  readonly calls: { readonly [Name in RemoteCall]: RemoteMethod<Name> }
}

export type RemoteMethod<Name extends RemoteCall> = (
  args: Parameters<RemoteCalls[Name]>,
  signal: AbortSignal,
) => Promise<ReturnType<RemoteCalls[Name]>>

export interface OpenHooks {
  readonly signal: AbortSignal
  readonly onProgress: (progress: OpenProgress) => void
  readonly log: LogSink
}

export interface WorkerServerOptions {
  readonly open: (options: OpenData, hooks: OpenHooks) => Promise<OpenModel>
  readonly post: (event: WorkerEvent) => void
  readonly locks: Locks | null
}

/** Nothing is open in the worker yet, or no more. */
class NotOpenError extends LorikeetError {
  readonly code = 'not_open'
  override readonly status = 503

  constructor() {
    super('No model is open in this worker.')
  }
}

export class WorkerServer {
  readonly #options: WorkerServerOptions
  readonly #lifeline: Promise<string | null>
  #model: OpenModel | null = null

  /** Says hello at once. */
  constructor(options: WorkerServerOptions) {
    this.#options = options
    this.#lifeline = holdLifeline(options.locks)
    void this.#lifeline.then((lifeline) => options.post({ type: 'hello', lifeline }))
  }

  receive(message: WorkerMessage): void {
    switch (message.type) {
      case 'open':
        void reply(message.port, (signal, onProgress) => this.#open(message.options, signal, onProgress))
        return
      case 'call':
        void reply(message.port, (signal) => this.#call(message.method, message.args, signal))
        return
      case 'fetch':
        void answerFetch(this.#fetch, message)
        return
      case 'connect':
        this.#connect(message.port)
    }
  }

  readonly #fetch: Handler = async (request) => {
    if (!this.#model) throw new NotOpenError()
    return await this.#model.fetch(request)
  }

  async #open(
    options: OpenData,
    signal: AbortSignal,
    onProgress: (progress: OpenProgress) => void,
  ): Promise<OpenedData> {
    if (this.#model) throw new InvariantError('A worker was asked to open a second model')
    const log: LogSink = (level, message, fields) => this.#options.post({ type: 'log', level, message, fields })
    const model = await this.#options.open(options, { signal, onProgress, log })
    this.#model = model
    return model.opened
  }

  async #call(method: RemoteCall, args: readonly unknown[], signal: AbortSignal): Promise<unknown> {
    const model = this.#model
    if (!model) throw new NotOpenError()
    if (method === 'close') this.#model = null
    const call = model.calls[method] as (args: readonly unknown[], signal: AbortSignal) => Promise<unknown>
    return await call(args, signal)
  }

  /** Somebody with a port of their own: what they ask ends when they do. */
  #connect(port: MessagePort): void {
    const gone = new AbortController()
    const onGone = (): void => {
      port.onmessage = null
      port.close()
      gone.abort()
    }
    port.onmessage = ({ data }) => {
      const message = data as FetchMessage | VisitorMessage
      if (message.type === 'fetch') void answerFetch(this.#fetch, message, gone.signal)
      else watchLifeline(this.#options.locks, message.lifeline, { signal: gone.signal, onGone })
    }
    void this.#lifeline.then((lifeline) => port.postMessage({ type: 'welcome', lifeline } satisfies WelcomeMessage))
  }
}

/** Runs `work` for the other end of `port`, who may abort it, and says how it ended. */
async function reply(
  port: MessagePort,
  work: (signal: AbortSignal, onProgress: (progress: OpenProgress) => void) => Promise<unknown>,
): Promise<void> {
  const controller = new AbortController()
  const say = (message: Reply): void => port.postMessage(message)
  port.onmessage = ({ data }) => {
    if ((data as ControlMessage).type === 'abort') controller.abort()
  }
  try {
    say({ type: 'result', value: await work(controller.signal, (progress) => say({ type: 'progress', progress })) })
  } catch (error) {
    say({ type: 'error', error: errorData(error) })
  } finally {
    port.onmessage = null
    port.close()
  }
}
