/** A directory that somebody picked or dropped, or one of OPFS: a FileSystemDirectoryHandle as a Folder. */
import { checkPath, type Folder, notFound } from './folder.ts'
import { blobSource, SourceError } from './source.ts'

export function directoryHandleFolder(root: FileSystemDirectoryHandle): Folder {
  const name = root.name || 'folder'
  const fileAt = async (path: string): Promise<File> => {
    const parts = checkPath(name, path).split('/')
    const file = parts.pop()!
    try {
      let directory = root
      for (const part of parts) directory = await directory.getDirectoryHandle(part)
      return await (await directory.getFileHandle(file)).getFile()
    } catch (cause) {
      throw unreadable(name, path, cause)
    }
  }
  return {
    name,
    async open(path) {
      return blobSource(`${name}/${path}`, await fileAt(path))
    },
    async has(path) {
      try {
        await fileAt(path)
        return true
      } catch (error) {
        if (error instanceof SourceError && error.code === 'file_not_found') return false
        throw error
      }
    },
    async list() {
      const paths: string[] = []
      for await (const [path, handle] of root.entries()) if (handle.kind === 'file') paths.push(path)
      return paths.sort()
    },
  }
}

function unreadable(folder: string, path: string, cause: unknown): SourceError {
  const { name, message } = cause as DOMException
  // TypeMismatchError: a directory has that name.
  if (name === 'NotFoundError' || name === 'TypeMismatchError') return notFound(folder, path, { cause })
  const advice = name === 'NotAllowedError' ? ' Choose the folder again: the page may not read it any more.' : ''
  return new SourceError('file_unreadable', path, `${folder}/${path} could not be read: ${message}.${advice}`, {
    cause,
  })
}
