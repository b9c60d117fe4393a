// An OpenAI-compatible server from one file. Outside of this checkout the imports are 'npm:lorikeet' and 'npm:lorikeet/deno'.
import { serve } from '../../dist/deno.js'
import { Lorikeet } from '../../dist/index.js'

const aviary = new URL('../../models/aviary', import.meta.url).pathname
const bird = await Lorikeet.open({
  model: aviary,
  adapters: ['melville', 'king-james'].map((name) => ({ name, source: `${aviary}/adapters/${name}` })),
})
const server = await serve(bird.fetch, { port: Number(Deno.args[0] ?? 8000) })
console.log(`curl ${server.url}/v1/completions -d '{"model": "melville", "prompt": "The sea", "max_tokens": 40}'`)

Deno.addSignalListener('SIGINT', async () => {
  await server.close()
  await bird.close()
  Deno.exit()
})
