/** Workers without threads: a WorkerServer over a scripted model, behind what a page has of a Worker. */
import type { WorkerHandle } from '../../src/hosts/browser/page/workerLink.ts'
import type { RemoteDevice } from '../../src/hosts/browser/relay/protocol.ts'
import { type OpenModel, WorkerServer, type WorkerServerOptions } from '../../src/hosts/browser/worker/workerServer.ts'
import type { FakeContext, FakeLocks } from './fakeLocks.ts'

/** Workers that have been started, the last one last. */
export class FakeWorkers {
  readonly started: FakeWorker[] = []
  readonly #locks: FakeLocks
  readonly #open: WorkerServerOptions['open']

  constructor(locks: FakeLocks, open: WorkerServerOptions['open']) {
    this.#locks = locks
    this.#open = open
  }

  /** For WorkerOptions.worker. */
  readonly start = (): Worker => {
    const worker = new FakeWorker(this.#locks.context(), this.#open)
    this.started.push(worker)
    return worker as unknown as Worker
  }

  get last(): FakeWorker {
    return this.started.at(-1)!
  }
}

export class FakeWorker implements WorkerHandle {
  onmessage: WorkerHandle['onmessage'] = null
  onerror: WorkerHandle['onerror'] = null
  isTerminated = false
  readonly #context: FakeContext
  readonly #outside: MessagePort
  readonly #inside: MessagePort

  constructor(context: FakeContext, open: WorkerServerOptions['open']) {
    this.#context = context
    const { port1, port2 } = new MessageChannel()
    this.#outside = port1
    this.#inside = port2
    const server = new WorkerServer({ open, post: (event) => port2.postMessage(event), locks: context })
    port2.onmessage = ({ data }) => server.receive(data)
    port1.onmessage = (event) => this.onmessage?.(event as MessageEvent)
  }

  postMessage(message: unknown, transfer: Transferable[]): void {
    this.#outside.postMessage(message, transfer as never)
  }

  terminate(): void {
    this.isTerminated = true
    this.die()
  }

  /** Ends without a word, as when it runs out of memory. */
  die(): void {
    this.#inside.close() // what it had said before still arrives
    this.#context.die()
  }
}

const DEVICE: RemoteDevice = { name: 'paper', isSoftware: true, capabilities: {} as RemoteDevice['capabilities'] }

/** A model that answers `fetch`, and calls with errors unless `calls` has them. */
export function scriptedModel(fetch: OpenModel['fetch'], calls: Partial<OpenModel['calls']> = {}): OpenModel {
  const refuse = async (): Promise<never> => {
    throw new Error('not scripted')
  }
  return {
    opened: { modelNames: ['paper'], device: DEVICE },
    fetch,
    calls: {
      ...{ loadAdapter: refuse, unloadAdapter: refuse, checkAdapter: refuse, listAdapters: refuse },
      adapterStatus: refuse,
      close: async () => {},
      ...calls,
    },
  }
}

/** A body that begins with `first` and then waits until it is cancelled. */
export function endless(first: string, onCancel: () => void = () => {}): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode(first)),
    cancel: onCancel,
  })
}
