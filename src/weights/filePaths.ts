/** The paths that picked or dropped files have below the directory they were chosen by. */

/** Each file with its path; where all come from one directory, without that directory's own name. */
export function filePaths(files: Iterable<File>): readonly (readonly [path: string, file: File])[] {
  const all = [...files].map((file) => [file.webkitRelativePath || file.name, file] as const)
  const roots = new Set(all.map(([path]) => (path.includes('/') ? path.slice(0, path.indexOf('/') + 1) : '')))
  const root = roots.size === 1 ? [...roots][0]! : ''
  return all.map(([path, file]) => [path.slice(root.length), file])
}
