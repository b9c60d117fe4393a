/** The port of a Deno process; what clients see of a server that runs is in test/endToEnd. */
import { expect, it } from 'vitest'
import { runDeno } from '../../support/deno.ts'

it('ends gently, then firmly, and frees its port', async () => {
  const { lines, code, stderr } = await runDeno(['test/hosts/deno/closing.ts'])
  expect(
    lines.map((line) => JSON.parse(line)),
    stderr,
  ).toEqual([
    {
      cancelled: 1,
      endStreams: 1,
      unanswered: 'cut off',
      streamed: 'cut off',
      answer: 'next',
      taken: expect.stringMatching(/^Cannot listen on 127\.0\.0\.1:\d+: the port is in use\./),
    },
  ])
  expect(code).toBe(0)
})
