/**
 * Parts of the library that many never need: formats, routes, kinds of adapters. Where they are bundled for browsers each is a
 * file of its own, fetched when it is first used, so that a page waits for less (docs/browser.md has the sizes).
 */
import { LorikeetError } from './errors.ts'

/** A file of the library is not to be had. */
export class PartMissingError extends LorikeetError {
  readonly code = 'part_missing'
  override readonly status = 503
}

/**
 * What `load`, an `import()`, resolves to.
 * @throws PartMissingError when that fails
 */
export async function part<Module>(load: () => Promise<Module>): Promise<Module> {
  try {
    return await load()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    const message = `A part of lorikeet could not be loaded: ${why}. Is the network gone, or was the site updated since this page was opened? Then reload it.`
    throw new PartMissingError(message, { cause })
  }
}
