/**
 * Paths that come from a request. They may lead only into the folders that the server's owner named, however they are
 * written and whatever links lie on the way; a path that leads elsewhere is answered alike whether there is something or
 * not. (Who can write below a root could still swap a folder for a link between the check and the read.)
 */
import { realpath, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { folderOfFile, splitAdapterFile } from '../../lora/adapterFile.ts'
import type { Folder } from '../../weights/folder.ts'
import { SourceError } from '../../weights/source.ts'
import { directoryFolder, unreadable } from './files.ts'

/**
 * The folder at `path`, or around an adapter's file that is there; relative ones from the working directory, `~` from the user's home.
 * @throws SourceError: `path_refused` when it, or a file that is then asked of it, is not below one of `roots`;
 *   `file_not_found` when there is no such folder below them
 */
export async function folderWithin(path: string, roots: readonly string[]): Promise<Folder> {
  if (path === '' || path.includes('\0') || /^[a-z][a-z0-9+.-]+:\/\//i.test(path)) throw refused(path)
  const wanted = resolve(path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path)
  const named = roots.map((root) => resolve(root))
  const real = await Promise.all(named.map((root) => realpath(root).catch(() => root)))
  // What is written decides before the disk is asked, so that nobody can feel around outside.
  if (!isWithin(wanted, [...named, ...real])) throw refused(path)
  const found = await realPath(wanted, path)
  if (!isWithin(found, real)) throw refused(path)
  const options = { name: path, allows: async (file: string) => isWithin(await realPath(file, file), real) }
  if ((await stat(found)).isDirectory()) return directoryFolder(found, options)
  const file = splitAdapterFile(wanted)
  if (!file) throw new SourceError('file_not_found', path, `${path} is not a folder.`)
  // Its config lies beside it as it is written: a link may lead to where it has another name.
  const folder = await realPath(dirname(wanted), path)
  if (!isWithin(folder, real)) throw refused(path)
  return folderOfFile(directoryFolder(folder, options), file.file, path)
}

async function realPath(path: string, name: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (cause) {
    throw unreadable(name, cause)
  }
}

function isWithin(path: string, roots: readonly string[]): boolean {
  return roots.some((root) => {
    const way = relative(root, path)
    return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
  })
}

function refused(path: string): SourceError {
  const message = `${JSON.stringify(path.slice(0, 300))} is outside of the folders that adapters may be loaded from. Name more of them with --lora-root when the server is started.`
  return new SourceError('path_refused', 'lora_path', message)
}
