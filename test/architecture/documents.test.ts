/** Documents name files; the files they name are there. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { filesBelow, ROOT, readText } from './projectFiles.ts'

const TOP_FOLDERS = ['src', 'shaders', 'test', 'scripts', 'demo', 'docs', 'models', 'build', 'bench', '.ci']
const FILE_ENDING = /\.(ts|tsx|mjs|wgsl|md)$/

/** Paths in inline code and in links of this document: what is in one of our folders, or has the ending of our files. */
function namedPaths(markdown: string): string[] {
  const code = [...markdown.matchAll(/`([^`\s]+)`/g)].map(([, word = '']) => word)
  const links = [...markdown.matchAll(/\]\(([^)\s#:]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => target)
  const isOurs = (word: string): boolean =>
    /^[\w./*-]+$/.test(word) && (FILE_ENDING.test(word) || TOP_FOLDERS.some((folder) => word.startsWith(`${folder}/`)))
  return [...new Set([...code.filter(isOurs), ...links])]
}

/** Whether a path stands for something: from the root, from src, from the document; a bare file name may be anywhere. */
function isThere(path: string, document: string, all: readonly string[]): boolean {
  const places = [path, `src/${path}`, posix.join(posix.dirname(document), path)]
  if (places.some((place) => !place.includes('*') && existsSync(join(ROOT, place)))) return true
  const pattern = (place: string): RegExp => {
    const escaped = place.replace(/[.]/g, '\\.').replace(/\*+/g, '[^/]*')
    return new RegExp(path.includes('/') ? `^${escaped}` : `(^|/)${escaped}$`)
  }
  return places.some((place) => all.some((file) => pattern(place).test(file)))
}

function documents(): string[] {
  return ['README.md', ...filesBelow('docs', '.md')].filter((path) => existsSync(join(ROOT, path)))
}

/** `document names path` for every path that leads nowhere. */
function deadPaths(document: string, markdown: string, all: readonly string[]): string[] {
  return namedPaths(markdown)
    .filter((path) => !isThere(path, document, all))
    .map((path) => `${document} names ${path}`)
}

const all = TOP_FOLDERS.filter((folder) => existsSync(join(ROOT, folder))).flatMap((folder) => filesBelow(folder, ''))

describe('documents', () => {
  it('are caught when they name a file that is not there', () => {
    const text =
      '`src/errors.ts`, `errors.ts`, `src/gpu/*.ts`, `POST /v1/models`, `gone.ts`, `src/gone/*.ts`, [x](gone.md#a), [y](https://a.example/b.md)'
    expect(deadPaths('docs/x.md', text, all)).toEqual([
      'docs/x.md names gone.ts',
      'docs/x.md names src/gone/*.ts',
      'docs/x.md names gone.md',
    ])
  })

  it('name only files that are there', () => {
    expect(documents()).toContain('README.md')
    expect(documents().flatMap((document) => deadPaths(document, readText(document), all))).toEqual([])
  })

  it('of the architecture say what every folder of src is for', () => {
    const folders = readdirSync(join(ROOT, 'src')).filter((entry) => statSync(join(ROOT, 'src', entry)).isDirectory())
    expect(folders.length).toBeGreaterThan(0)
    const maps = documents().filter((document) => document === 'docs/architecture.md')
    const missing = maps.flatMap((map) => folders.filter((folder) => !readText(map).includes(`${folder}/`)))
    expect(missing).toEqual([])
  })
})
