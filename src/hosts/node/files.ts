/** Files and directories of Node (and of Deno and Bun through their node: modules) behind the ports of weights/. */
import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { abortReason } from '../../errors.ts'
import { checkPath, type Folder, notFound } from '../../weights/folder.ts'
import { type RandomAccess, Source, SourceError } from '../../weights/source.ts'

/** Opens a regular file for reading. Throws SourceError. */
export async function openFile(path: string): Promise<RandomAccess> {
  return await openNamed(path, path)
}

export interface DirectoryOptions {
  /** What messages call it. Default: its path. */
  readonly name?: string
  /** Asked for the full path of every file that is to be opened; false refuses it. Default: all are allowed. */
  readonly allows?: (file: string) => Promise<boolean>
}

/**
 * A directory as a Folder. Links are followed (model caches consist of them); a path with `..` is refused.
 * The directory itself is looked at when a file is asked for, so one that is missing shows up then.
 */
export function directoryFolder(directory: string, { name = directory, allows }: DirectoryOptions = {}): Folder {
  const full = (path: string): string => join(directory, checkPath(name, path))
  return {
    name,
    async open(path) {
      const target = full(path)
      try {
        if (allows && !(await allows(target))) {
          const message = `${target} is a link that leads out of the folders that may be read.`
          throw new SourceError('path_refused', target, message)
        }
        return await openNamed(target, target)
      } catch (error) {
        if (!(error instanceof SourceError) || error.code !== 'file_not_found') throw error
        throw await missing(directory, path, error)
      }
    },
    async has(path) {
      const target = full(path)
      try {
        return (await stat(target)).isFile()
      } catch (cause) {
        const error = unreadable(target, cause)
        if (error.code === 'file_not_found') return false
        throw error
      }
    },
    async list() {
      const entries = await readdir(directory, { withFileTypes: true }).catch((cause) => {
        throw unreadable(directory, cause)
      })
      const files = await Promise.all(
        entries.map(async (entry) => {
          // A link counts as what it points to.
          const found = entry.isSymbolicLink() ? await stat(join(directory, entry.name)).catch(() => null) : entry
          return found?.isFile() ? [entry.name] : []
        }),
      )
      return files.flat().sort()
    },
  }
}

async function openNamed(path: string, name: string): Promise<RandomAccess> {
  let handle: FileHandle | null = null
  try {
    // Asked before opening: opening a pipe would wait for its writer.
    const found = await stat(path)
    if (!found.isFile()) throw new SourceError('file_unreadable', name, `${name} is not a file.`)
    handle = await open(path, 'r')
    return new FileSource(name, (await handle.stat()).size, handle)
  } catch (error) {
    await handle?.close()
    throw error instanceof SourceError ? error : unreadable(name, error)
  }
}

class FileSource extends Source {
  readonly #handle: FileHandle

  constructor(name: string, size: number, handle: FileHandle) {
    super(name, size)
    this.#handle = handle
  }

  protected async fill(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    let filled = 0
    while (filled < target.byteLength) {
      if (signal?.aborted) throw abortReason(signal)
      const bytesRead = await this.#readSome(offset + filled, target.subarray(filled))
      if (bytesRead === 0) throw this.truncated(offset, target.byteLength, filled)
      filled += bytesRead
    }
  }

  protected override async release(): Promise<void> {
    await this.#handle.close()
  }

  async #readSome(offset: number, target: Uint8Array): Promise<number> {
    try {
      return (await this.#handle.read(target, 0, target.byteLength, offset)).bytesRead
    } catch (cause) {
      throw unreadable(this.name, cause)
    }
  }
}

/** Says whether the file or the whole directory is missing: a mistyped path is the usual reason. */
async function missing(directory: string, path: string, cause: SourceError): Promise<SourceError> {
  const found = await stat(directory).catch(() => null)
  if (found?.isDirectory()) return notFound(directory, path, { cause })
  const problem = found ? 'is not a directory' : 'does not exist'
  return new SourceError('file_not_found', directory, `${directory} ${problem}. Looked for ${basename(path)} in it.`)
}

/** The error for what the file system refused. */
export function unreadable(name: string, cause: unknown): SourceError {
  const code = (cause as NodeJS.ErrnoException).code
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new SourceError('file_not_found', name, `${name} does not exist.`, { cause })
  }
  return new SourceError('file_unreadable', name, `${name} could not be read: ${(cause as Error).message}.`, { cause })
}
