/** What somebody dropped on the page: each directory with all its files, and loose files together. */

export interface DroppedFolder {
  /** Of the directory; of loose files, that of the first. */
  readonly name: string
  /** For `model`, or for an adapter's source; their paths are those below the directory. */
  readonly files: readonly File[]
}

/**
 * The folders in a drop, each to be given on as a source. To be called while the event is handled: the browser takes its items
 * away afterwards. (Directory handles would be shorter, but only Chromium hands them out in a drop.)
 */
export async function droppedFolders({ items }: Pick<DataTransfer, 'items'>): Promise<readonly DroppedFolder[]> {
  const entries = [...items].flatMap((item) => (item.kind === 'file' ? (item.webkitGetAsEntry() ?? []) : []))
  const loose = await Promise.all(entries.filter(isFile).map((entry) => fileOf(entry, entry.name)))
  const folders = await Promise.all(
    entries
      .filter(isDirectory)
      .map(async (entry) => ({ name: entry.name, files: await filesBelow(entry, entry.name) })),
  )
  return loose[0] ? [...folders, { name: loose[0].name, files: loose }] : folders
}

async function filesBelow(directory: FileSystemDirectoryEntry, path: string): Promise<File[]> {
  const entries = await entriesOf(directory)
  const files = await Promise.all(
    entries.map(async (entry) => {
      const at = `${path}/${entry.name}`
      if (isFile(entry)) return [await fileOf(entry, at)]
      return isDirectory(entry) ? await filesBelow(entry, at) : []
    }),
  )
  return files.flat()
}

/** A reader hands out a hundred at a time, and nothing when it is through. */
async function entriesOf(directory: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = directory.createReader()
  const all: FileSystemEntry[] = []
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (some.length === 0) return all
    all.push(...some)
  }
}

/** The file, with its path where picked directories have it. */
async function fileOf(entry: FileSystemFileEntry, path: string): Promise<File> {
  const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject))
  return Object.defineProperty(file, 'webkitRelativePath', { value: path.includes('/') ? path : '' })
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile
}

function isDirectory(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory
}
