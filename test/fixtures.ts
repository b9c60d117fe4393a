/** Where the fixtures lie, wherever the tests are started: a path on this machine, in a browser an address. */
const here = import.meta.url
// Not in one expression, which vite would take for the address of a file.
const folder = new URL('./fixtures/', here)

// No fileURLToPath: in a browser there is none. On Windows a path begins with its drive.
export const FIXTURES: string =
  folder.protocol === 'file:' ? decodeURIComponent(folder.pathname).replace(/^\/(?=[A-Z]:)/i, '') : folder.href

export const REFERENCE: string = `${FIXTURES}reference/`

/** A path of `reference.json` (relative to its folder) as a path, or an address, of this host. */
export function reference(path: string): string {
  return REFERENCE + path
}
