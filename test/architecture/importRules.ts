/**
 * The rules that keep imports pointing one way, as a function from parsed files to sentences about what is wrong.
 * A folder may import itself and the folders before it in `ORDER`; `text` stands beside them. The files in src itself
 * are the public entry and stand with the hosts: the entry finds its host, and hosts hand out the entry.
 */
import type { ImportOf, SourceModule } from './sourceModule.ts'

const ORDER: readonly string[] = ['gpu', 'weights', 'model', 'lora', 'engine', 'api', 'hosts', 'bench', 'cli']
/** Folders that may use the tokenizer and its like. */
const USERS_OF_TEXT = new Set(['text', 'api', 'src', 'hosts', 'cli'])
const SHADER_FOLDERS = new Set(['gpu', 'model', 'lora', 'engine', 'bench'])
/** Everybody's; they import nothing else of the house themselves. */
const COMMON = new Set(['src/errors.ts', 'src/nextTask.ts', 'src/part.ts', 'src/version.ts'])

/** Files that know which host they run on. */
const HOST_FILES = /^src\/(hosts\/|cli\/|gpu\/open[.\w]*\.ts$)/
/** Files of one host, and of which hosts they may use files: Deno has Node's modules, and both have Dawn. */
const HOSTS: readonly { readonly files: RegExp; readonly name: string; readonly uses: readonly string[] }[] = [
  { files: /^src\/(hosts\/node\/|gpu\/open\.(node|dawn)\.ts$)/, name: 'node', uses: ['node'] },
  { files: /^src\/(hosts\/deno\/|gpu\/open\.deno\.ts$)/, name: 'deno', uses: ['deno', 'node'] },
  { files: /^src\/(hosts\/browser\/|gpu\/open\.browser\.ts$)/, name: 'browser', uses: ['browser'] },
]
/** Who tells hosts apart: they load what they find themselves on. */
const CHOOSES_HOST = /^src\/(hosts\/current\.ts$|cli\/)/
/** Files that tests run without a GPU. */
const NEEDS_NO_GPU = /^src\/(engine\/scheduler[.\w]*\.ts$|api\/)/
/** What browsers load. */
const ENTRIES: readonly string[] = ['src/index.ts', 'src/hosts/browser/worker/main.ts']
const IS_GPU = /^(src\/gpu\/|shaders\/)/

/** The folder below src that a file belongs to; `src` for a file that lies in src itself. */
function folderOf(path: string): string {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? 'src'
}

/** Every breach of the rules, one sentence each; empty when the house is in order. */
export function breaches(modules: readonly SourceModule[], packages: readonly string[]): string[] {
  const byPath = new Map(modules.map((module) => [module.path, module]))
  return [
    ...modules.flatMap((module) =>
      module.imports.flatMap((found) => importBreach(module.path, found, byPath, packages) ?? []),
    ),
    ...modules.flatMap(hostBreaches),
    ...modules.filter(({ path }) => NEEDS_NO_GPU.test(path)).flatMap((module) => gpuBreach(module, byPath) ?? []),
    ...partBreaches(modules, byPath),
    ...cycles(byPath).map((cycle) => `${cycle.join(' -> ')} is a cycle`),
  ]
}

function importBreach(
  path: string,
  { target, isRelative }: ImportOf,
  byPath: ReadonlyMap<string, SourceModule>,
  packages: readonly string[],
): string | null {
  if (!isRelative) return packageBreach(path, target, packages)
  const from = folderOf(path)
  if (target.startsWith('shaders/')) return SHADER_FOLDERS.has(from) ? null : `${path} imports a shader: ${target}`
  if (!byPath.has(target)) return `${path} imports ${target}, which is no file of src`
  const to = folderOf(target)
  const wrongHost = hostOf(target) && !CHOOSES_HOST.test(path) && !hostOf(path)?.uses.includes(hostOf(target)!.name)
  if (wrongHost) return `${path} imports ${target}, which is there on ${hostOf(target)!.name} alone`
  const allowed = COMMON.has(target) || (mayImport(from, to) && !COMMON.has(path))
  return allowed ? null : `${path} imports ${target}: ${from} may not import ${to}`
}

function hostOf(path: string): (typeof HOSTS)[number] | undefined {
  return HOSTS.find(({ files }) => files.test(path))
}

function mayImport(from: string, to: string): boolean {
  if (to === 'text') return USERS_OF_TEXT.has(from)
  const rank = (folder: string): number => ORDER.indexOf(folder === 'src' ? 'hosts' : folder)
  return rank(to) >= 0 && rank(to) <= rank(from)
}

function packageBreach(path: string, target: string, packages: readonly string[]): string | null {
  if (/^(node|deno|bun):/.test(target))
    return HOST_FILES.test(path) && hostOf(path)?.name !== 'browser'
      ? null
      : `${path} imports ${target}: it must run where those are not`
  if (target === 'webgpu' && !/^src\/gpu\/open/.test(path)) return `${path} imports webgpu: only src/gpu/open* may`
  const known = packages.some((name) => target === name || target.startsWith(`${name}/`))
  return known ? null : `${path} imports ${target}, which package.json does not list`
}

function hostBreaches({ path, hostGlobals }: SourceModule): string[] {
  if (HOST_FILES.test(path)) return []
  return hostGlobals.map((name) => `${path} names ${name}: it must run on every host`)
}

/** The first way from a file to the GPU through imports that are there at run time. */
function gpuBreach(start: SourceModule, byPath: ReadonlyMap<string, SourceModule>): string | null {
  const seen = new Set<string>()
  const walk = (path: string, way: readonly string[]): readonly string[] | null => {
    if (IS_GPU.test(path)) return [...way, path]
    if (seen.has(path)) return null
    seen.add(path)
    for (const { target, isTypeOnly } of byPath.get(path)?.imports ?? []) {
      const found = isTypeOnly ? null : walk(target, [...way, path])
      if (found) return found
    }
    return null
  }
  const way = walk(start.path, [])
  return way && `${way.join(' -> ')}: ${start.path} must run without a GPU`
}

/**
 * What is loaded when it is needed has to be a file of its own in a browser, so nothing that is loaded at the start may import it;
 * and whoever loads it has to say what it means when it is not to be had.
 */
function partBreaches(modules: readonly SourceModule[], byPath: ReadonlyMap<string, SourceModule>): string[] {
  const bare = modules.flatMap(({ path, imports }) =>
    imports.flatMap(({ target, later, isRelative }) =>
      later === 'bare' && isRelative && !HOST_FILES.test(path)
        ? `${path} imports ${target} when needed without part()`
        : [],
    ),
  )
  const importers = new Map<string, string>()
  const open = ENTRIES.filter((entry) => byPath.has(entry))
  for (const path of open) {
    for (const { target, later, isTypeOnly } of byPath.get(path)?.imports ?? []) {
      if (later || isTypeOnly || importers.has(target)) continue
      importers.set(target, path)
      open.push(target)
    }
  }
  const parts = modules.flatMap(({ imports }) =>
    imports.flatMap(({ target, later }) => (later === 'part' ? target : [])),
  )
  const early = [...new Set(parts)].filter((target) => importers.has(target))
  return [
    ...bare,
    ...early.map((target) => `${target} is loaded when it is needed, but ${importers.get(target)} imports it at once`),
  ]
}

/** One cycle for each file that closes one; imports of types count, since they too make two files one. */
function cycles(byPath: ReadonlyMap<string, SourceModule>): string[][] {
  const done = new Set<string>()
  const found: string[][] = []
  const walk = (path: string, way: readonly string[]): void => {
    const at = way.indexOf(path)
    if (at >= 0) {
      found.push([...way.slice(at), path])
      return
    }
    if (done.has(path)) return
    for (const { target } of byPath.get(path)?.imports ?? []) walk(target, [...way, path])
    done.add(path)
  }
  for (const path of byPath.keys()) walk(path, [])
  return found
}
