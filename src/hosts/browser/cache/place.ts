/**
 * Where kept files lie in OPFS: a directory for each model or adapter, named by the hash of its address, and in it for
 * each file its bytes and a note that says what they are. Page and worker read all this; only a worker writes bytes.
 */
import { LorikeetError } from '../../../errors.ts'
import type { Locks } from '../relay/lifeline.ts'

/** What is known of a file at an address. */
export interface FileNote {
  /** Below its folder. */
  readonly path: string
  /** Null: there is no such file at the address, which is worth knowing when offline. */
  readonly size: number | null
  /** Bytes of it that are safely here. */
  readonly kept: number
  /** The name of its bytes; another version of the file gets another. */
  readonly data: string
  readonly etag: string | null
  readonly lastModified: string | null
}

export interface FolderNote {
  readonly url: string
  /** Unix time in milliseconds. */
  readonly usedAt: number
}

/** A file of OPFS that is written in a worker. TypeScript has it among the workers' types only. */
export interface SyncFile {
  read(target: Uint8Array, options: { readonly at: number }): number
  write(bytes: Uint8Array, options: { readonly at: number }): number
  truncate(size: number): void
  getSize(): number
  flush(): void
  close(): void
}

/** There is not enough room for a file, even after others that were kept have gone. */
export class CacheFullError extends LorikeetError {
  readonly code = 'cache_full'
  override readonly status = 507
  override readonly param: string
  readonly neededBytes: number
  readonly availableBytes: number

  constructor(file: string, neededBytes: number, availableBytes: number, options?: ErrorOptions) {
    super(
      `Keeping ${file} takes ${neededBytes} bytes, and this browser has room for ${availableBytes} more of this origin. Free disk space, clear what else is kept (cache.clear()), or open with \`cache: false\`.`,
      options,
    )
    this.param = file
    this.neededBytes = neededBytes
    this.availableBytes = availableBytes
  }
}

const ROOT = 'lorikeet'
const FOLDER_NOTE = 'folder.json'

/** The directory of all that is kept; null where the browser has no OPFS (Firefox' private windows, insecure pages). */
export async function cacheRoot(): Promise<FileSystemDirectoryHandle | null> {
  try {
    const root = await navigator.storage.getDirectory()
    return await root.getDirectoryHandle(ROOT, { create: true })
  } catch {
    return null
  }
}

/** The name that stands for an address. Its query stays out: it may be a signature, new for every visit. */
export async function keyOf(address: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(address))
  return [...new Uint8Array(digest, 0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

export async function readFolderNote(directory: FileSystemDirectoryHandle): Promise<FolderNote | null> {
  return await readJson<FolderNote>(directory, FOLDER_NOTE)
}

/** In a worker only. */
export async function writeFolderNote(directory: FileSystemDirectoryHandle, note: FolderNote): Promise<void> {
  await writeJson(directory, FOLDER_NOTE, note)
}

/** The notes of all files of a directory. */
export async function fileNotes(directory: FileSystemDirectoryHandle): Promise<FileNote[]> {
  const notes: FileNote[] = []
  for await (const name of directory.keys()) {
    if (!name.endsWith('.json') || name === FOLDER_NOTE) continue
    const note = await readJson<FileNote>(directory, name)
    if (note) notes.push(note)
  }
  return notes
}

/** Null where there is no file of that name, or one that was being written when its tab died. */
export async function readJson<Value>(directory: FileSystemDirectoryHandle, name: string): Promise<Value | null> {
  try {
    const handle = await directory.getFileHandle(name)
    return JSON.parse(await (await handle.getFile()).text()) as Value
  } catch {
    return null
  }
}

/** In a worker only. */
export async function writeJson(directory: FileSystemDirectoryHandle, name: string, value: object): Promise<void> {
  const file = await openSync(await directory.getFileHandle(name, { create: true }))
  try {
    const bytes = new TextEncoder().encode(JSON.stringify(value))
    file.truncate(0)
    file.write(bytes, { at: 0 })
    file.flush()
  } finally {
    file.close()
  }
}

/** In a worker only. Nobody else can have it open to write. */
export async function openSync(handle: FileSystemFileHandle): Promise<SyncFile> {
  return await (handle as unknown as { createSyncAccessHandle(): Promise<SyncFile> }).createSyncAccessHandle()
}

/** The lock that is shared by whoever reads from or downloads into a folder. */
export function useLock(key: string): string {
  return `lorikeet:kept:${key}`
}

/** Deletes a folder with all its files, unless somebody is at it. Answers whether it is gone. */
export async function removeFolder(
  root: FileSystemDirectoryHandle,
  key: string,
  locks: Locks | null,
): Promise<boolean> {
  const remove = async (): Promise<boolean> => {
    try {
      await root.removeEntry(key, { recursive: true })
      return true
    } catch {
      return false
    }
  }
  if (!locks) return await remove()
  return await locks.request(useLock(key), { ifAvailable: true }, async (lock) => lock !== null && (await remove()))
}
