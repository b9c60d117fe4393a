/**
 * The scenarios in Deno, over a port of `Deno.serve`: deno run -A test/endToEnd/deno.ts dawn|builtin
 * A line of JSON for each of them: { name, error } with error null when it went well. First a line { implementation }.
 */
import { openGpu } from '../../src/gpu/open.deno.ts'
import { serve } from '../../src/hosts/deno/serve.ts'
import { reference } from '../fixtures.ts'
import { behindPort } from './door.ts'
import { openModel, SCENARIOS } from './scenarios.ts'

const say = (line: unknown) => console.log(JSON.stringify(line))

const gpu = await openGpu({ webgpu: process.argv[2] as 'dawn' | 'builtin' })
say({ implementation: gpu.implementation })
const model = await openModel(reference, gpu)
const served = { ...model, ...(await behindPort(serve, model.bird)) }
for (const { name, run } of SCENARIOS) {
  const error = await run(served).then(
    () => null,
    (cause) => String(cause?.stack ?? cause),
  )
  say({ name, error })
}
await served.close()
