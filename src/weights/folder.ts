/**
 * A folder of named files, wherever it lies: a directory, a file picker, an address, memory. Paths inside it may come
 * from hostile files (a shard index), so they are checked here, once, before any host sees them.
 */
import { filePaths } from './filePaths.ts'
import type { UrlOptions } from './rangeClient.ts'
import { blobSource, bytesSource, type RandomAccess, SourceError } from './source.ts'
import { openUrl } from './urlSource.ts'

export interface Folder {
  /** Path or address, for messages. */
  readonly name: string
  /** Opens a file of the folder; the caller closes it. Throws SourceError (`file_not_found`, `path_refused`, …). */
  open(path: string, signal?: AbortSignal): Promise<RandomAccess>
  has(path: string, signal?: AbortSignal): Promise<boolean>
  /** Paths of the files directly in the folder, sorted. Absent where a folder cannot be listed (an address). */
  list?(): Promise<readonly string[]>
  /** Its files are held in memory for as long as it is: reading them again spares nothing. */
  readonly isInMemory?: boolean
}

/** Refuses every path that could leave the folder: absolute, with `.` or `..` parts, backslashes, drives, controls. */
export function checkPath(folder: string, path: string): string {
  const parts = path.split('/')
  const bad =
    parts.some((part) => part === '' || part === '.' || part === '..') ||
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly what must not reach a file system.
    /[\\:\u0000-\u001f\u007f]/.test(path)
  if (!bad) return path
  const message = `${folder}: ${JSON.stringify(path)} is not a plain path inside the folder, so it is not opened.`
  throw new SourceError('path_refused', path, message)
}

/** The error for a file that is not there. */
export function notFound(folder: string, path: string, options?: ErrorOptions): SourceError {
  return new SourceError('file_not_found', path, `There is no ${path} in ${folder}.`, options)
}

/** Opens `path`, or answers null where it does not exist; every other failure is thrown. */
export async function openIfPresent(folder: Folder, path: string, signal?: AbortSignal): Promise<RandomAccess | null> {
  try {
    return await folder.open(path, signal)
  } catch (error) {
    if (error instanceof SourceError && error.code === 'file_not_found') return null
    throw error
  }
}

/** A folder in memory: path to bytes, text, or Blob. */
export function memoryFolder(name: string, files: Readonly<Record<string, Uint8Array | string | Blob>>): Folder {
  const byPath = new Map(Object.entries(files))
  return {
    name,
    // Text is small; a Blob may lie on a disk.
    isInMemory: Object.values(files).some((content) => content instanceof Uint8Array),
    async open(path) {
      const content = byPath.get(checkPath(name, path))
      if (content === undefined) throw notFound(name, path)
      const label = `${name}/${path}`
      if (content instanceof Blob) return blobSource(label, content)
      return bytesSource(label, typeof content === 'string' ? new TextEncoder().encode(content) : content)
    },
    async has(path) {
      return byPath.has(checkPath(name, path))
    },
    async list() {
      return [...byPath.keys()].filter((path) => !path.includes('/')).sort()
    },
  }
}

/**
 * What a file input or a drop hands over. With a directory input the paths are those below the chosen directory,
 * without its own name.
 */
export function filesFolder(name: string, files: Iterable<File>): Folder {
  return memoryFolder(name, Object.fromEntries(filePaths(files)))
}

/** A folder at an address, such as `https://example.org/models/tiny/`; a query of the base goes with every file. */
export function urlFolder(base: string | URL, options: UrlOptions = {}): Folder {
  const { name, address } = folderAddress(base)
  const folder: Folder = {
    name,
    async open(path, signal) {
      return await openUrl(address(path), signal ? { ...options, signal } : options)
    },
    async has(path, signal) {
      const source = await openIfPresent(folder, path, signal)
      await source?.close()
      return source !== null
    },
  }
  return folder
}

/** The name of the folder at an address, and the addresses of the files in it. */
export function folderAddress(base: string | URL): { readonly name: string; readonly address: (path: string) => URL } {
  const root = new URL(base)
  if (!root.pathname.endsWith('/')) root.pathname += '/'
  const name = root.origin + root.pathname
  const address = (path: string): URL => {
    const url = new URL(root)
    // Encoded part by part: a `?`, `#` or `%2e%2e` in a name stays a name.
    url.pathname += checkPath(name, path).split('/').map(encodeURIComponent).join('/')
    return url
  }
  return { name, address }
}
