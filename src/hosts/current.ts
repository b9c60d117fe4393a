/**
 * Which host this code runs on. Each host's code is loaded only there. The browser's bundle has browser/current.ts in
 * place of this file (build/browserHost.ts), so that bundlers never meet what only Node and Deno have.
 */
import { NoGpuError } from '../gpu/errors.ts'
import type { Host } from './port.ts'

/** The host this code runs on. @throws NoGpuError where there is none that lorikeet knows. */
export async function currentHost(): Promise<Host> {
  // Deno has a `process` too, and both may have a `navigator`.
  if ('Deno' in globalThis) return (await import('./deno/host.ts')).denoHost
  if (typeof process === 'object' && process.versions?.node) return (await import('./node/host.ts')).nodeHost
  if (typeof navigator === 'object' && 'location' in globalThis) return (await import('./browser/host.ts')).browserHost
  throw new NoGpuError(
    'This host is not one lorikeet can open a GPU on by itself. Open one with Gpu.open() and pass it as `gpu`.',
  )
}
