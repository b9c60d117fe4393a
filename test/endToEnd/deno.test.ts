/** The same scenarios in Deno, from the TypeScript source, on each WebGPU that it has. */
import { describe, expect, it } from 'vitest'
import { type DenoRun, runDeno } from '../support/deno.ts'
import { SCENARIOS } from './scenarios.ts'

describe.each([
  ['dawn', 'Dawn'],
  ['builtin', 'wgpu'],
] as const)('a server on a port of Deno, with WebGPU %s', (webgpu, implementation) => {
  let run: DenoRun | null = null
  const lines = async () => {
    run ??= await runDeno(['test/endToEnd/deno.ts', webgpu])
    return run.lines.map((line) => JSON.parse(line))
  }

  it('uses the one that was asked for', async () => {
    expect((await lines())[0]).toEqual({ implementation })
  })

  for (const { name } of SCENARIOS) {
    it(name, async () => {
      expect((await lines()).find((line) => line.name === name)).toEqual({ name, error: null })
    })
  }

  it('ends by itself', async () => {
    await lines()
    expect(run).toMatchObject({ code: 0 })
  })
})
