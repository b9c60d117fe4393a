/** `lorikeet/browser`: what a page needs when the engine is in a worker. Nothing of the engine is in here. */
export { ChatError, type ChatOptions } from '../../api/chatPieces.ts'
export { LorikeetError } from '../../errors.ts'
export type { FolderSource } from '../host.ts'
export { type CacheUsage, type KeptFolder, ModelCache } from './cache/modelCache.ts'
export { type DroppedFolder, droppedFolders } from './page/droppedFolders.ts'
export { type CacheOptions, openInWorker, type WorkerOptions } from './page/openInWorker.ts'
export type { RemoteAdapters, RemoteLoadOptions, RemoteLorikeet } from './page/remoteLorikeet.ts'
export type { OpenProgress, RemoteDevice } from './relay/protocol.ts'
export { ClosedError, RemoteError, WorkerLostError } from './relay/remoteError.ts'
export {
  type OriginOptions,
  type OriginServer,
  type RegistrationOptions,
  registerServiceWorker,
  ServiceWorkerError,
  serveOrigin,
} from './service/serveOrigin.ts'
