/** `lorikeet/deno`: what a Deno program needs beside `lorikeet` itself. */
export type { DeviceWish } from '../../gpu/capabilities.ts'
export { openGpu } from '../../gpu/open.deno.ts'
export { readAssets } from '../node/assets.ts'
export { directoryFolder, openFile } from '../node/files.ts'
export { type Assets, ListenError, type RunningServer, type ServeOptions } from '../server.ts'
export { serve } from './serve.ts'
