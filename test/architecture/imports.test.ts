/** Imports point one way. The rules are shown to catch what they forbid before they are believed about src. */
import { describe, expect, it } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { breaches } from './importRules.ts'
import { filesBelow, readText } from './projectFiles.ts'
import { parseModule } from './sourceModule.ts'

/** Breaches in a house of these files; `src/errors.ts` is always there. */
function breachesOf(files: Record<string, string>, packages: string[] = []): string[] {
  const modules = Object.entries({ 'src/errors.ts': 'export class E {}', ...files })
  return breaches(
    modules.map(([path, text]) => parseModule(path, text)),
    packages,
  )
}

describe('the import rules', () => {
  it('let a folder import itself, the folders before it, and the errors', () => {
    const files = {
      'src/gpu/a.ts': `import { E } from '../errors.ts'`,
      'src/model/b.ts': `import '../gpu/a.ts'\nimport './c.ts'\nimport w from '../../shaders/x.wgsl' with { type: 'text' }`,
      'src/model/c.ts': `export * from '../weights/d.ts'`,
      'src/weights/d.ts': `import { part } from '../part.ts'\nconst lazy = () => part(() => import('../gpu/p.ts'))`,
      'src/gpu/p.ts': '',
      'src/part.ts': `import { E } from './errors.ts'`,
      'src/cli/main.ts': `import 'node:fs'\nimport { B } from '../index.ts'\nprocess.exit()`,
      'src/index.ts': `export { B } from './model/b.ts'\nimport './hosts/current.ts'`,
      'src/hosts/current.ts': `const host = () => import('./node/host.ts')`,
      'src/lorikeet.ts': `import './text/t.ts'`,
      'src/text/t.ts': '',
      'src/hosts/node/host.ts': `import '../../lorikeet.ts'`,
    }
    expect(breachesOf(files)).toEqual([])
  })

  it.each([
    ['a plain import', `import { b } from '../model/b.ts'`],
    ['an import of types', `import type { B } from '../model/b.ts'`],
    ['a re-export', `export { b } from '../model/b.ts'`],
    ['a re-export of all', `export * from '../model/b.ts'`],
    ['a dynamic import', `const b = await part(() => import('../model/b.ts'))`],
    ['a type inside an expression', `let b: import('../model/b.ts').B`],
    ['an import over two lines', `import {\n  b,\n} from\n  '../model/b.ts'`],
  ])('refuse to go the other way by %s', (_way, text) => {
    expect(breachesOf({ 'src/gpu/a.ts': text, 'src/model/b.ts': 'export type B = 1; export const b = 1' })).toEqual([
      'src/gpu/a.ts imports src/model/b.ts: gpu may not import model',
    ])
  })

  it('ignore imports in comments and strings', () => {
    const text = `// import '../model/b.ts'\n/* process */ const s = "import '../model/b.ts'; process"`
    expect(breachesOf({ 'src/gpu/a.ts': text, 'src/model/b.ts': '' })).toEqual([])
  })

  it('keep text apart', () => {
    const files = {
      'src/text/t.ts': `import '../engine/e.ts'`,
      'src/engine/e.ts': '',
      'src/api/a.ts': `import '../text/t.ts'`,
    }
    expect(breachesOf(files)).toEqual(['src/text/t.ts imports src/engine/e.ts: text may not import engine'])
    expect(breachesOf({ 'src/text/t.ts': '', 'src/engine/e.ts': `import '../text/t.ts'` })).toEqual([
      'src/engine/e.ts imports src/text/t.ts: engine may not import text',
    ])
  })

  it('refuse folders and files the design does not know', () => {
    expect(breachesOf({ 'src/util/u.ts': `import '../gpu/g.ts'`, 'src/gpu/g.ts': '' })).toEqual([
      'src/util/u.ts imports src/gpu/g.ts: util may not import gpu',
    ])
    expect(breachesOf({ 'src/gpu/g.ts': `import '../../test/t.ts'\nimport './gone.ts'` })).toEqual([
      'src/gpu/g.ts imports test/t.ts, which is no file of src',
      'src/gpu/g.ts imports src/gpu/gone.ts, which is no file of src',
    ])
    expect(breachesOf({ 'src/engine/e.ts': `import '../index.ts'`, 'src/index.ts': '' })).toEqual([
      'src/engine/e.ts imports src/index.ts: engine may not import src',
    ])
    expect(breachesOf({ 'src/index.ts': `import './bench/b.ts'`, 'src/bench/b.ts': '' })).toEqual([
      'src/index.ts imports src/bench/b.ts: src may not import bench',
    ])
    expect(breachesOf({ 'src/index.ts': `import './cli/main.ts'`, 'src/cli/main.ts': '' })).toEqual([
      'src/index.ts imports src/cli/main.ts: src may not import cli',
    ])
  })

  it('refuse packages that are not listed, and webgpu outside the file that opens it', () => {
    const text = `import 'hono/tiny'\nimport 'honolulu'\nimport 'webgpu'`
    expect(breachesOf({ 'src/api/a.ts': text }, ['hono', 'webgpu'])).toEqual([
      'src/api/a.ts imports honolulu, which package.json does not list',
      'src/api/a.ts imports webgpu: only src/gpu/open* may',
    ])
    expect(breachesOf({ 'src/gpu/open.node.ts': `await import('webgpu')` }, ['webgpu'])).toEqual([])
    expect(breachesOf({ 'src/gpu/a.ts': 'await import(name)' })).toEqual([
      'src/gpu/a.ts imports (computed), which package.json does not list',
    ])
  })

  it.each([
    ['process.env', 'process'],
    ['typeof process', 'process'],
    ['globalThis.navigator?.gpu', 'navigator'],
    [`globalThis['Deno']`, 'Deno'],
    ['const { gpu } = navigator', 'navigator'],
    ['let p: typeof process', 'process'],
  ])('refuse to name a host: %s', (text, name) => {
    expect(breachesOf({ 'src/engine/a.ts': text })).toEqual([
      `src/engine/a.ts names ${name}: it must run on every host`,
    ])
    for (const path of ['src/hosts/node/a.ts', 'src/cli/a.ts', 'src/gpu/open.node.ts']) {
      expect(breachesOf({ [path]: text })).toEqual([])
    }
  })

  it('let members have the names of hosts', () => {
    const text = 'class A { process() { return { process: 1 } } }\ninterface B { navigator: 1 }\nnew A().process()'
    expect(breachesOf({ 'src/engine/a.ts': text })).toEqual([])
  })

  it('refuse modules of one host', () => {
    expect(breachesOf({ 'src/weights/a.ts': `import 'node:fs'`, 'src/hosts/node/b.ts': `import 'node:fs'` })).toEqual([
      'src/weights/a.ts imports node:fs: it must run where those are not',
    ])
    expect(
      breachesOf({ 'src/hosts/browser/a.ts': `import 'node:fs'`, 'src/hosts/deno/b.ts': `import 'node:fs'` }),
    ).toEqual(['src/hosts/browser/a.ts imports node:fs: it must run where those are not'])
  })

  it('keep hosts apart, except that Deno has the modules of Node', () => {
    const files = {
      'src/hosts/node/n.ts': '',
      'src/hosts/browser/b.ts': `import '../node/n.ts'`,
      'src/hosts/deno/d.ts': `import '../node/n.ts'\nimport '../../gpu/open.dawn.ts'`,
      'src/gpu/open.dawn.ts': '',
      'src/hosts/host.ts': `import './deno/d.ts'`,
      'src/hosts/current.ts': `import './deno/d.ts'`,
      'src/cli/main.ts': `import '../hosts/deno/d.ts'`,
    }
    expect(breachesOf(files)).toEqual([
      'src/hosts/browser/b.ts imports src/hosts/node/n.ts, which is there on node alone',
      'src/hosts/host.ts imports src/hosts/deno/d.ts, which is there on deno alone',
    ])
  })

  it('refuse a way to the GPU from what must run without, and say which', () => {
    const files = {
      'src/engine/scheduler.ts': `import './helper.ts'`,
      'src/engine/helper.ts': `import { g } from '../gpu/g.ts'`,
      'src/gpu/g.ts': 'export const g = 1',
      'src/api/a.ts': `import type { G } from '../gpu/g.ts'`,
      'src/api/b.ts': `import { type G } from '../gpu/g.ts'`,
    }
    expect(breachesOf(files)).toEqual([
      'src/engine/scheduler.ts -> src/engine/helper.ts -> src/gpu/g.ts: src/engine/scheduler.ts must run without a GPU',
      'src/api/b.ts -> src/gpu/g.ts: src/api/b.ts must run without a GPU',
    ])
  })

  it('refuse to load a part that is there already, or without a word about its absence', () => {
    const files = {
      'src/index.ts': `import './lora/a.ts'`,
      'src/lora/a.ts': `import { b } from './b.ts'\nimport type { C } from './c.ts'\nconst c = () => part(() => import('./c.ts'))`,
      'src/lora/b.ts': `const d = () => part(() => import('./d.ts'))\nconst e = () => import('./e.ts')`,
      'src/lora/c.ts': `import './d.ts'`,
      'src/lora/d.ts': '',
      'src/lora/e.ts': '',
    }
    expect(breachesOf(files)).toEqual(['src/lora/b.ts imports src/lora/e.ts when needed without part()'])
    expect(breachesOf({ ...files, 'src/lora/a.ts': `import './b.ts'\nimport './c.ts'`, 'src/lora/e.ts': `` })).toEqual([
      'src/lora/b.ts imports src/lora/e.ts when needed without part()',
      'src/lora/d.ts is loaded when it is needed, but src/lora/c.ts imports it at once',
    ])
  })

  it('refuse cycles, also those of types', () => {
    const files = {
      'src/lora/a.ts': `import './b.ts'`,
      'src/lora/b.ts': `import type { C } from './c.ts'`,
      'src/lora/c.ts': `import './a.ts'`,
    }
    expect(breachesOf(files)).toEqual(['src/lora/a.ts -> src/lora/b.ts -> src/lora/c.ts -> src/lora/a.ts is a cycle'])
  })
})

describe('src', () => {
  it('keeps the import rules', () => {
    const paths = filesBelow('src', '.ts').filter((path) => !path.endsWith('.d.ts'))
    expect(paths.length).toBeGreaterThan(0)
    const packages = [...Object.keys(packageJson.dependencies), ...Object.keys(packageJson.peerDependencies)]
    const modules = paths.map((path) => parseModule(path, readText(path)))
    expect(breaches(modules, packages)).toEqual([])
  })
})
