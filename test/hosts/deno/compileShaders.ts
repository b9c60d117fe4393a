/**
 * Makes a pipeline of every shader in a JSON file, with Deno's own WebGPU, whose compiler (naga) is Firefox's too. A line of
 * JSON before each, and one after it: a compiler that dies says by the last line of what. Run by shaders.test.ts.
 */
import { readFileSync } from 'node:fs'
import type { KernelDefinition } from '../../../src/gpu/kernel.ts'
import { openGpu } from '../../../src/gpu/open.deno.ts'

const shaders: readonly KernelDefinition[] = JSON.parse(readFileSync(process.argv[2]!, 'utf8'))
const gpu = await openGpu({ webgpu: 'builtin' })
for (const shader of shaders) {
  console.log(JSON.stringify({ begins: shader.name }))
  const error = await gpu.kernel(shader).then(
    () => null,
    (cause) => String(cause),
  )
  console.log(JSON.stringify({ name: shader.name, error }))
}
gpu.close()
