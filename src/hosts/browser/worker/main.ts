/** `lorikeet/worker`: the script of the worker that `openInWorker` starts. The whole engine is in here. */
import { locksHere } from '../relay/lifeline.ts'
import type { WorkerEvent, WorkerMessage } from '../relay/protocol.ts'
import { openModel } from './openModel.ts'
import { WorkerServer } from './workerServer.ts'

/** The worker's own scope, which TypeScript takes for a page's. */
const scope = globalThis as unknown as {
  postMessage(event: WorkerEvent): void
  onmessage: ((event: MessageEvent) => void) | null
}

const server: WorkerServer = new WorkerServer({
  open: openModel,
  post: (event) => scope.postMessage(event),
  locks: locksHere(),
})
scope.onmessage = ({ data }) => server.receive(data as WorkerMessage)
