/** Findings about kernels in a file each below the user's cache folder, named by the hash of their key. */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TuningStore } from '../../model/tuner/tuningStore.ts'

/** @param folder default: `lorikeet/tuning` where this user's caches are */
export function tuningFiles(folder?: string): TuningStore {
  const fileOf = (key: string): string => {
    const name = createHash('sha256').update(key).digest('hex').slice(0, 16)
    return join(folder ?? join(cacheFolder(), 'lorikeet', 'tuning'), `${name}.json`)
  }
  return {
    async read(key) {
      const text = await readFile(fileOf(key), 'utf8').catch(() => null)
      return text === null ? null : withoutKey(text, key)
    },
    async write(key, text) {
      const file = fileOf(key)
      await mkdir(dirname(file), { recursive: true })
      // Two processes may write at once: whoever renames last wins, and nobody reads half a file.
      const unfinished = `${file}.${process.pid}`
      await writeFile(unfinished, `${key}\n${text}\n`)
      await rename(unfinished, file)
    },
  }
}

/** The first line says what the file is about, to those who look into it. */
function withoutKey(text: string, key: string): string | null {
  return text.startsWith(`${key}\n`) ? text.slice(key.length + 1) : null
}

function cacheFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env
  if (process.platform === 'win32') return LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local')
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches')
  return XDG_CACHE_HOME || join(homedir(), '.cache')
}
