/** The package as it is published: built once into a scratch folder, then used by Node, by Deno, and as text. */
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { ROOT } from '../architecture/projectFiles.ts'
import { parseModule } from '../architecture/sourceModule.ts'
import { reference } from '../fixtures.ts'
import { DENO, runDeno } from '../support/deno.ts'

const run = promisify(execFile)
const NODE_MODULES = join(ROOT, 'node_modules')
const ANSWER = fileURLToPath(new URL('./answer.mjs', import.meta.url))

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
}, 120_000)
afterAll(() => rmSync(dist, { recursive: true, force: true }))

/** Paths of the package's JavaScript that `exports` and `bin` name, all conditions. */
function namedFiles(value: unknown): string[] {
  if (typeof value === 'string') return value.endsWith('.js') ? [value] : []
  return Object.values(value as object).flatMap(namedFiles)
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
      const { imports } = parseModule(file, readFileSync(join(folder, file), 'utf8'))
      const foreign = imports.filter(({ isRelative }) => !isRelative).map(({ target }) => target)
      expect(foreign, file).toEqual([])
    }
  })

  it("costs a page little: the engine is the worker's alone", () => {
    const folder = join(dist, 'browser')
    /** Bytes of a file and of all that it imports, compressed. */
    const compressed = (file: string, seen = new Set<string>()): number => {
      if (seen.has(file)) return 0
      seen.add(file)
      const code = readFileSync(join(folder, file))
      const imports = parseModule(file, code.toString()).imports.map(({ target }) => compressed(target, seen))
      return imports.reduce((sum, bytes) => sum + bytes, gzipSync(code).length)
    }
    expect(compressed('page.js')).toBeLessThan(8000)
    expect(compressed('service-worker.js')).toBeLessThan(5000)
    expect(compressed('worker.js')).toBeGreaterThan(50_000)
    // Neither is a page's import map good for a worker, nor may a classic service worker import anything.
    for (const file of ['worker.js', 'service-worker.js']) {
      expect(parseModule(file, readFileSync(join(folder, file), 'utf8')).imports).toEqual([])
    }
    const page = readFileSync(join(folder, 'page.js'), 'utf8')
    expect(page).toMatch(/new Worker\(new URL\(["`]\.\/worker\.js["`],import\.meta\.url\),\{type:["`]module["`]/)
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
