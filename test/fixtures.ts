/** Where the fixtures lie, wherever the tests are started. */
import { fileURLToPath } from 'node:url'

export const REFERENCE: string = fileURLToPath(new URL('./fixtures/reference/', import.meta.url))

/** A path of `reference.json` (relative to its folder) as a path of this machine. */
export function reference(path: string): string {
  return REFERENCE + path
}
