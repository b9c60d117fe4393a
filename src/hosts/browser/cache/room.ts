/** Room for what is to be kept: asked for before a byte is written, made by letting go of what was not used for longest. */
import type { Locks } from '../relay/lifeline.ts'
import { CacheFullError, fileNotes, readFolderNote, removeFolder } from './place.ts'

/** Bytes left free for notes and for what else the origin keeps. */
const SLACK_BYTES = 1 << 20

export interface RoomOptions {
  readonly root: FileSystemDirectoryHandle
  readonly locks: Locks | null
  readonly estimate: () => Promise<StorageEstimate>
  /** The file it is for, and its folder, which stays. */
  readonly file: string
  readonly folderKey: string
}

/** @throws CacheFullError when `bytes` more do not fit even after all that is not in use has gone */
export async function makeRoom(bytes: number, { root, locks, estimate, file, folderKey }: RoomOptions): Promise<void> {
  const { usage, quota } = await estimate()
  if (usage === undefined || quota === undefined) return // then the write will tell
  let available = quota - usage - SLACK_BYTES
  if (bytes <= available) return
  for (const { key, kept } of await leastRecentlyUsed(root)) {
    if (key === folderKey || !(await removeFolder(root, key, locks))) continue
    available += kept
    if (bytes <= available) return
  }
  throw new CacheFullError(file, bytes, Math.max(0, available))
}

async function leastRecentlyUsed(root: FileSystemDirectoryHandle): Promise<{ key: string; kept: number }[]> {
  const found: { key: string; kept: number; usedAt: number }[] = []
  for await (const [key, handle] of root.entries()) {
    if (handle.kind !== 'directory') continue
    const directory = handle as FileSystemDirectoryHandle
    const kept = (await fileNotes(directory)).reduce((sum, note) => sum + note.kept, 0)
    found.push({ key, kept, usedAt: (await readFolderNote(directory))?.usedAt ?? 0 })
  }
  return found.sort((one, other) => one.usedAt - other.usedAt)
}
