/** What the build writes down beside the page for its service worker. */

export interface PageFiles {
  /** Changes when any file does. */
  readonly version: string
  /** Relative to the page's folder. */
  readonly files: readonly string[]
}

export const PAGE_FILES = 'files.json'
export const SERVICE_WORKER = 'sw.js'
