/**
 * `lorikeet`: one base model, many LoRA adapters, one batch, on WebGPU. This entry runs in every host; `lorikeet/node`
 * adds what Node needs (paths, Dawn, a port).
 */
export { type AdapterFiles, Adapters, type LoraDirectoryWish, NoHostError, type RuntimeLora } from './adapters.ts'
export { ChatError, type ChatOptions } from './api/chatPieces.ts'
export { createHandler, type Handler, type HandlerOptions } from './api/handler.ts'
export type { AdapterCard, AdapterControl, AdapterDirectory, LogSink, Service } from './api/service.ts'
export type { EngineSizes } from './engine/sizes.ts'
export { LorikeetError } from './errors.ts'
export { Gpu } from './gpu/gpu.ts'
export type { GpuHost } from './gpu/host.ts'
export type { FolderSource } from './hosts/host.ts'
export type { AdapterWeight } from './lora/composition.ts'
export type { AdapterRecord, AdapterStatus } from './lora/registry.ts'
export type { AdapterReport } from './lora/report.ts'
export {
  type AdapterWish,
  Lorikeet,
  type OpenOptions,
  type StartOptions,
} from './lorikeet.ts'
export { VERSION } from './version.ts'
export { type Folder, filesFolder, memoryFolder, urlFolder } from './weights/folder.ts'
