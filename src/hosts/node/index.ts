/** `lorikeet/node`: what a Node program needs beside `lorikeet` itself. */
export type { DeviceWish } from '../../gpu/capabilities.ts'
export { openGpu } from '../../gpu/open.node.ts'
export { type Assets, ListenError, type RunningServer, type ServeOptions } from '../server.ts'
export { readAssets } from './assets.ts'
export { directoryFolder, openFile } from './files.ts'
export { serve } from './serve.ts'
