/**
 * What only Deno can be asked about `Deno.serve`: how a server ends with clients that do not read, and with requests that
 * nobody answers. Prints a line of JSON. Run by serve.test.ts.
 */
import { serve } from '../../../src/hosts/deno/serve.ts'

const seen = { pulls: 0, cancelled: 0, endStreams: 0 }
const stream = () =>
  new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        seen.pulls++
        controller.enqueue(new Uint8Array(65536))
      },
      cancel() {
        seen.cancelled++
      },
    },
    { highWaterMark: 0 },
  )
const server = await serve(
  async ({ url }) => (url.endsWith('/never') ? new Promise(() => undefined) : new Response(stream())),
  { port: 0 },
)
const reader = (await fetch(server.url)).body!.getReader()
await reader.read()
const unanswered = fetch(`${server.url}/never`).then(
  () => 'answered',
  () => 'cut off',
)
// Without back-pressure it would go on for ever.
let pulls = -1
while (pulls !== seen.pulls) {
  pulls = seen.pulls
  await new Promise((resolve) => setTimeout(resolve, 100))
}
await server.close({
  graceMs: 50,
  async endStreams() {
    seen.endStreams++
  },
})
const read = async (): Promise<string> => {
  while (!(await reader.read()).done);
  return 'whole'
}
const streamed = await read().catch(() => 'cut off')

// The port is free again, and taken by one alone.
const next = await serve(async () => new Response('next'), { port: server.port })
const taken = await serve(async () => new Response(), { port: server.port }).catch((error) => error)
const answer = await (await fetch(next.url)).text()
await next.close()
await next.close()
const { pulls: _, ...counts } = seen
console.log(JSON.stringify({ ...counts, unanswered: await unanswered, streamed, answer, taken: taken.message }))
