/** Files out of a drop: those of a dropped folder with their paths below it, or the loose files. */

/** The parts of the entries API that are used; TypeScript's own types are callbacks all the way down. */
interface Entry {
  readonly isFile: boolean
  readonly isDirectory: boolean
  readonly name: string
  file?(done: (file: File) => void, failed: (error: unknown) => void): void
  createReader?(): { readEntries(done: (entries: Entry[]) => void, failed: (error: unknown) => void): void }
}

export interface Dropped {
  /** The folder's name, or the first file's. */
  readonly name: string
  readonly files: readonly File[]
}

/** A folder with more files than this is no adapter. */
const MAX_FILES = 64

export async function filesOfDrop(transfer: DataTransfer): Promise<Dropped | null> {
  // The list is emptied when the event ends: everything is taken out of it before the first wait.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry() as Entry | null)
  const loose = [...transfer.files]
  const folder = entries.find((entry) => entry?.isDirectory)
  if (folder) return { name: folder.name, files: await filesIn(folder) }
  return loose.length === 0 ? null : { name: nameOfFiles(loose), files: loose }
}

/** What a file input chose: a directory input gives paths that begin with the directory's name. */
export function filesOfInput(files: FileList | readonly File[]): Dropped | null {
  const all = [...files].slice(0, MAX_FILES)
  return all.length === 0 ? null : { name: nameOfFiles(all), files: all }
}

function nameOfFiles(files: readonly File[]): string {
  // Some browsers, and every other host, know no such path.
  const paths = files.map(({ webkitRelativePath }) => webkitRelativePath ?? '')
  const inFolder = paths.find((path) => path.includes('/'))
  return inFolder ? inFolder.split('/')[0]! : files[0]!.name.replace(/\.[^.]*$/, '')
}

async function filesIn(folder: Entry): Promise<readonly File[]> {
  const reader = folder.createReader!()
  const files: File[] = []
  // A reader hands out its entries in batches, and an empty one at the end.
  for (;;) {
    const entries = await new Promise<Entry[]>((done, failed) => reader.readEntries(done, failed))
    if (entries.length === 0 || files.length >= MAX_FILES) return files.slice(0, MAX_FILES)
    for (const entry of entries) {
      if (entry.isFile) files.push(await new Promise<File>((done, failed) => entry.file!(done, failed)))
    }
  }
}
