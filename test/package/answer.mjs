/**
 * A program that uses the built package, in plain JavaScript: node|deno answer.mjs DIST REFERENCE [dawn|builtin]. Prints what the base and
 * an adapter say.
 */
import { pathToFileURL } from 'node:url'

const [dist, reference, webgpu] = process.argv.slice(2)
const { Lorikeet } = await import(pathToFileURL(`${dist}/index.js`).href)
const bird = await Lorikeet.open({
  model: `${reference}models/llama-tiny`,
  adapters: [{ name: 'voice', source: `${reference}adapters/llama-tiny/attn-r16` }],
  gpu: webgpu ? { webgpu } : {},
  sizes: { kvCacheMemory: 2 ** 21, loraMemory: 2 ** 22, maxNumBatchedTokens: 64 },
})
const said = {}
for (const model of ['llama-tiny', 'voice']) {
  const messages = [{ role: 'user', content: 'Hello!' }]
  said[model] = ''
  for await (const piece of bird.chat({ model, messages, maxTokens: 16, temperature: 0 })) said[model] += piece
}
const { implementation } = bird.runtime.gpu
await bird.close()
console.log(JSON.stringify({ implementation, said }))
