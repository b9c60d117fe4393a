/**
 * Every shader compiles in naga, the WebGPU compiler of Deno and Firefox. It knows no subgroups, and dies or refuses where
 * Dawn does not mind; nothing else on this machine shows that.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { filesBelow, readText } from '../../architecture/projectFiles.ts'
import { allShaders, type Shader } from '../../support/allShaders.ts'
import { runDeno } from '../../support/deno.ts'

let folder = ''
let shaders: readonly Shader[] = []
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lorikeet-shaders-'))
  shaders = await allShaders()
})
afterAll(() => rmSync(folder, { recursive: true }))

it('there are shaders of every file with an entry point', () => {
  const entries = filesBelow('shaders', '.wgsl').filter((path) => readText(path).includes('@compute'))
  const names = entries.map((path) => path.replace(/^shaders\/|\.wgsl$/g, ''))
  expect([...new Set(shaders.map(({ name }) => name))].sort()).toEqual(names)
})

it('none uses subgroups', () => {
  expect(shaders.filter(({ source }) => /\bsubgroup[A-Z]/.test(source)).map(({ name }) => name)).toEqual([])
})

it('all compile', async () => {
  const file = join(folder, 'shaders.json')
  writeFileSync(file, JSON.stringify(shaders))
  const { lines, stderr } = await runDeno(['test/hosts/deno/compileShaders.ts', file])
  const said = lines.map((line) => JSON.parse(line))
  expect(said.filter(({ error }) => error)).toEqual([])
  expect(said.at(-1), stderr.slice(-2000)).not.toHaveProperty('begins')
  expect(said).toHaveLength(2 * shaders.length)
})
