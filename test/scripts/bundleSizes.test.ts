/** Sizes of bundles: what an import brings at once, and what it brings later. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { bundleSizes } from '../../scripts/lib/bundleSizes.mjs'

const folder = mkdtempSync(join(tmpdir(), 'lorikeet-sizes-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('the size of a bundle', () => {
  it('is that of what it imports, and apart from it that of what it may come to import', () => {
    const files: Record<string, string> = {
      'entry.js': 'import{a as b}from"./chunks/a.js";import"./chunks/b.js";b(()=>import(`./chunks/lazy.js`));',
      'chunks/a.js': 'import{c}from"./b.js";export{c as a};"import(`./said.js`";',
      'chunks/b.js': 'export let c=e=>e;/* shared */',
      'chunks/lazy.js': 'import{a}from"./a.js";import{d}from"./ofLazy.js";a(()=>import("./lazier.js"));export{d};',
      'chunks/ofLazy.js': 'export let d=1;',
      'chunks/lazier.js': 'export let e=2;',
    }
    mkdirSync(join(folder, 'chunks'))
    for (const [path, text] of Object.entries(files)) writeFileSync(join(folder, path), text)
    const { initial, later } = bundleSizes(join(folder, 'entry.js'))
    const length = (path: string): number => files[path]!.length
    expect(initial.bytes).toBe(length('entry.js') + length('chunks/a.js') + length('chunks/b.js'))
    expect(initial.gzip).toBeGreaterThan(3 * 20) // each file has a header of its own
    expect([...later].map(([path, { bytes }]) => [basename(path), bytes])).toEqual([
      ['lazy.js', length('chunks/lazy.js')],
      ['ofLazy.js', length('chunks/ofLazy.js')],
      ['lazier.js', length('chunks/lazier.js')],
    ])
  })
})
