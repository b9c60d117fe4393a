/** Stands in for ../current.ts in the browser's bundle: there the host is known. */
import type { Host } from '../port.ts'
import { browserHost } from './host.ts'

/** The browser. */
export async function currentHost(): Promise<Host> {
  return browserHost
}
