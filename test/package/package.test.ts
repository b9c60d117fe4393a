/** The package as it is published: built once into a scratch folder, then used by Node, by Deno, and as text. */
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { ROOT } from '../architecture/projectFiles.ts'
import { type ImportOf, parseModule } from '../architecture/sourceModule.ts'
import { reference } from '../fixtures.ts'
import { DENO, runDeno } from '../support/deno.ts'

const run = promisify(execFile)
const NODE_MODULES = join(ROOT, 'node_modules')
const ANSWER = fileURLToPath(new URL('./answer.mjs', import.meta.url))

/** Most that a page with an engine of its own may have to load before it can answer; a worker has the files and the relay besides. */
const ENGINE_KB = 120

let dist = ''
beforeAll(async () => {
  // Below node_modules, so that what the package leaves to the installer is found.
  const caches = join(NODE_MODULES, '.cache/lorikeet')
  mkdirSync(caches, { recursive: true })
  dist = mkdtempSync(join(caches, 'dist-'))
  const { scripts } = packageJson
  const commands = `${scripts.build} && ${scripts['build:browser']}`
    .split(' && ')
    .filter((command) => command.startsWith('vite build'))
  for (const command of commands.filter((each) => !each.includes('demo/'))) {
    const args = command.split(' ').slice(1)
    const outDir = args.includes('--config') ? join(dist, 'browser') : dist
    await run(process.execPath, [join(NODE_MODULES, 'vite/bin/vite.js'), ...args, '--outDir', outDir], { cwd: ROOT })
  }
})
afterAll(() => rmSync(dist, { recursive: true, force: true }))

/** Paths of the package's JavaScript that `exports` and `bin` name, all conditions. */
function namedFiles(value: unknown): string[] {
  if (typeof value === 'string') return value.endsWith('.js') ? [value] : []
  return Object.values(value as object).flatMap(namedFiles)
}

/** What a file imports, at once or later. */
function importsOf(folder: string, file: string): readonly ImportOf[] {
  return parseModule(file, readFileSync(join(folder, file), 'utf8')).imports
}

describe('the built package', () => {
  it('has every file that it names', () => {
    const named = namedFiles([packageJson.exports, packageJson.bin]).map((path) => path.replace(/^(\.\/)?dist\//, ''))
    expect(named.length).toBeGreaterThan(4)
    expect(named.filter((path) => !existsSync(join(dist, path)))).toEqual([])
  })

  it('says the same in Node and in Deno, on each WebGPU there', async () => {
    const node = JSON.parse((await run(process.execPath, [ANSWER, dist, reference('')])).stdout)
    expect(node.implementation).toBe('Dawn')
    expect(node.said['llama-tiny']).not.toBe(node.said.voice)
    for (const [webgpu, implementation] of [
      ['dawn', 'Dawn'],
      ['builtin', 'wgpu'],
    ] as const) {
      const deno = await runDeno([ANSWER, dist, reference(''), webgpu])
      expect(
        deno.lines.map((line) => JSON.parse(line)),
        deno.stderr,
      ).toEqual([{ ...node, implementation }])
    }
  })

  it('needs nothing but itself in a browser', () => {
    const folder = join(dist, 'browser')
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js'))
    expect(files.length).toBeGreaterThan(1)
    for (const file of files) {
      const foreign = importsOf(folder, file)
        .filter(({ isRelative }) => !isRelative)
        .map(({ target }) => target)
      expect(foreign, file).toEqual([])
    }
  })

  it("costs a page little: the engine is the worker's alone, and what few need is not loaded at once", async () => {
    const folder = join(dist, 'browser')
    const { bundleSizes } = await import(join(ROOT, 'scripts/lib/bundleSizes.mjs'))
    interface Sizes {
      readonly initial: { readonly gzip: number }
      readonly later: ReadonlyMap<string, unknown>
    }
    const files = ['page.js', 'service-worker.js', 'index.js', 'worker.js']
    const sizes = new Map<string, Sizes>(files.map((file) => [file, bundleSizes(join(folder, file))]))
    /** Compressed, with all that it imports at once. */
    const kB = (file: string): number => sizes.get(file)!.initial.gzip / 1000
    expect(kB('page.js')).toBeLessThan(6.5)
    expect(kB('service-worker.js')).toBeLessThan(4)
    expect(kB('index.js')).toBeLessThan(ENGINE_KB)
    expect(kB('worker.js')).toBeLessThan(ENGINE_KB + 6)
    // Most of what there is; a page that pretends to be small by having nothing in it would be found out here.
    for (const file of ['index.js', 'worker.js']) {
      expect(kB(file)).toBeGreaterThan(80)
      const parts = [...sizes.get(file)!.later.keys()].map((path) => basename(path).split('-')[0])
      for (const part of ['adapters', 'nemo', 'torch', 'merge', 'doraNorms', 'metrics']) expect(parts).toContain(part)
    }
  })

  it('is started by a page as bundlers expect it, and needs no import map', () => {
    const folder = join(dist, 'browser')
    // A page's import map is not good for a worker; a service worker that is not a module may import nothing, now or later.
    expect(importsOf(folder, 'service-worker.js')).toEqual([])
    expect(importsOf(folder, 'page.js')).toEqual([])
    expect(importsOf(folder, 'worker.js').length).toBeGreaterThan(0)
    for (const { isRelative } of importsOf(folder, 'worker.js')) expect(isRelative).toBe(true)
    const page = readFileSync(join(folder, 'page.js'), 'utf8')
    expect(page).toMatch(/new Worker\(new URL\(["`]\.\/worker\.js["`],import\.meta\.url\),\{type:["`]module["`]/)
    // Parts import what they share with the entries from a chunk: an entry may be loaded under another address (`?v=2`), and
    // would be there twice if they asked for it.
    for (const file of readdirSync(join(folder, 'chunks')).filter((each) => each.endsWith('.js'))) {
      for (const { target } of importsOf(folder, `chunks/${file}`)) expect(target).toMatch(/^chunks\//)
    }
  })

  it('serves from the command line in Deno, and stops when it is told to', async () => {
    const flags = ['--host', '127.0.0.1', '--port', '0', '--kv-cache-memory', '2MiB', '--lora-memory', '4MiB']
    const args = ['run', '-A', join(dist, 'cli.js'), 'serve', '--model', reference('models/llama-tiny'), ...flags]
    const child = spawn(DENO, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
    const said = { out: '', err: '' }
    child.stdout.on('data', (text) => {
      said.out += text
    })
    child.stderr.on('data', (text) => {
      said.err += text
    })
    const isReady = new Promise<void>((resolve) => {
      child.stdout.on('data', () => said.out.includes('Try it:') && resolve())
    })
    await Promise.race([exited, isReady])
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said.out)?.[0]
    expect(url, said.err).toBeDefined()
    expect(said.out).toContain('through Dawn')
    const answer = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'llama-tiny', prompt: [1, 2, 3], max_tokens: 4, ignore_eos: true }),
    })
    expect(await answer.json()).toMatchObject({ usage: { completion_tokens: 4 } })
    child.kill('SIGTERM')
    expect(await exited).toEqual({ code: 0, signal: null })
    expect(said.err).toContain('stopped')
  })
})
