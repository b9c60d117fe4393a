/**
 * A directory of adapters as Node shows it to src/lora/directory.ts: its sub-folders, each with a stamp made of what
 * `stat` says of its files. One look costs a `readdir`, and a `stat` for every sub-folder and every file in one; a
 * sub-folder's own `readdir` is spared while its modification time says that no file came or went.
 */
import type { Stats } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Subfolder, Subfolders } from '../../lora/directory.ts'
import { directoryFolder, unreadable } from './files.ts'

/** Sub-folders that are looked into at once. */
const LOOKERS = 16
/** A folder with more files than this is no adapter; the rest of them is not looked at. */
const MOST_FILES = 256
/** A folder that changed so recently may change again within the same tick of its clock. */
const CLOCK_TICK_MS = 2000

/** What a `readdir` found while the folder had this mark. */
interface Listing {
  readonly mark: string
  readonly files: readonly string[]
}

/** Links are followed, to files and to folders; names that begin with a dot are left out, as are plain files. */
export function subfoldersOf(directory: string): Subfolders {
  const listings = new Map<string, Listing>()

  async function filesOf(name: string, found: Stats): Promise<readonly string[]> {
    const mark = markOf(found)
    const known = listings.get(name)
    if (known?.mark === mark) return known.files
    const files = (await readdir(join(directory, name))).sort().slice(0, MOST_FILES)
    if (Date.now() - found.mtimeMs > CLOCK_TICK_MS) listings.set(name, { mark, files })
    else listings.delete(name)
    return files
  }

  async function look(name: string): Promise<Subfolder | null> {
    const path = join(directory, name)
    try {
      const found = await stat(path)
      if (!found.isDirectory()) return null
      const marks: string[] = []
      for (const file of await filesOf(name, found)) {
        // A dangling link, or a file that has just gone: part of how the folder is now.
        const mark = await stat(join(path, file)).then(markOf, (error: NodeJS.ErrnoException) => String(error.code))
        marks.push(`${file}:${mark}`)
      }
      return { name, stamp: marks.join('|'), problem: null }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENOTDIR') return null
      return { name, stamp: null, problem: unreadable(path, error).message }
    }
  }

  return {
    name: directory,
    look,
    folder: (name) => directoryFolder(join(directory, name)),
    async list() {
      const entries = await readdir(directory, { withFileTypes: true }).catch((cause) => {
        throw unreadable(directory, cause)
      })
      const names = entries
        .filter((entry) => !entry.name.startsWith('.') && (entry.isDirectory() || entry.isSymbolicLink()))
        .map((entry) => entry.name)
        .sort()
      const here = new Set(names)
      for (const name of listings.keys()) if (!here.has(name)) listings.delete(name)
      const found: (Subfolder | null)[] = new Array(names.length).fill(null)
      let next = 0
      const lookOn = async (): Promise<void> => {
        for (let i = next++; i < names.length; i = next++) found[i] = await look(names[i]!)
      }
      await Promise.all(Array.from({ length: LOOKERS }, lookOn))
      return found.filter((subfolder) => subfolder !== null)
    },
  }
}

/** Changes whenever the file, or what a link leads to, becomes another or is written to. */
function markOf({ dev, ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${dev}.${ino}.${size}.${mtimeMs}.${ctimeMs}`
}
