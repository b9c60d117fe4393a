/** Where things lie in a checkout. Scripts here use Node built-ins only: they run before node_modules exists. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const NODE_MODULES = join(ROOT, 'node_modules')
/** Facts about this machine that can be found again; inside node_modules, so that `npm ci` forgets them. */
export const MEMORY = join(NODE_MODULES, '.cache', 'lorikeet')
export const DIST = join(ROOT, 'dist')

/** @param {...string} parts */
export function inProject(...parts) {
  return join(ROOT, ...parts)
}
