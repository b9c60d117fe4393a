/** Whatever a client sends, the answer is never our fault, and nothing is left running. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fakeHouse } from './support/fakeService.ts'

const FIELDS = [
  'model',
  'messages',
  'prompt',
  'max_tokens',
  'max_completion_tokens',
  'temperature',
  'top_p',
  'top_k',
  'min_p',
  'n',
  'stop',
  'stop_token_ids',
  'ignore_eos',
  'min_tokens',
  'seed',
  'stream',
  'stream_options',
  'logprobs',
  'top_logprobs',
  'echo',
  'prompt_logprobs',
  'return_token_ids',
  'add_generation_prompt',
  'chat_template_kwargs',
  'tools',
  'truncate_prompt_tokens',
  'truncation_side',
  'user',
  'suffix',
  'best_of',
  'logit_bias',
  'response_format',
  'presence_penalty',
  'add_special_tokens',
  'tokens',
  'return_token_strs',
  '__proto__',
  'constructor',
  'toString',
]
const PATHS = ['/v1/chat/completions', '/v1/completions', '/tokenize', '/detokenize']

const number = fc.oneof(
  fc.integer({ min: -3, max: 40 }),
  fc.double({ noNaN: true }),
  fc.constantFrom(0, -0, 1e-300, 1e300, 2 ** 31, 2 ** 53, -(2 ** 63), 255, 256, 511, 512),
)
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('', 'Hello', 'pirate', 'tiny:pirate', '\ud800'),
)
const message = fc.oneof(
  fc.record({
    role: fc.constantFrom('user', 'assistant', 'system', 'tool', ''),
    content: fc.oneof(text, fc.constant(null)),
  }),
  fc.anything({ maxDepth: 2 }),
)
const sensible = fc.oneof(
  number,
  text,
  fc.boolean(),
  fc.constant(null),
  fc.array(fc.integer({ min: 0, max: 520 }), { maxLength: 5 }),
  fc.array(text, { maxLength: 3 }),
  fc.array(message, { maxLength: 3 }),
  fc.record({ include_usage: fc.boolean() }),
)
const value = fc.oneof({ weight: 4, arbitrary: sensible }, { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) })
const junk = fc.dictionary(fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...FIELDS) }, fc.string()), value, {
  maxKeys: 6,
})
/** Fields as a client means them, in combinations it may not have thought of. */
const meant = fc.record(
  {
    model: fc.constantFrom('', 'tiny', 'pirate', 'tiny:team/tutor'),
    max_tokens: fc.integer({ min: 1, max: 20 }),
    temperature: fc.double({ min: 0, max: 2, noNaN: true }),
    top_p: fc.double({ min: 0.01, max: 1, noNaN: true }),
    top_k: fc.integer({ min: -1, max: 600 }),
    n: fc.integer({ min: 1, max: 4 }),
    seed: fc.maxSafeInteger(),
    stop: fc.oneof(
      fc.string({ minLength: 1, maxLength: 3 }),
      fc.array(fc.constantFrom('e', ' t', 'wo', 'three'), { maxLength: 3 }),
    ),
    stop_token_ids: fc.array(fc.integer({ min: 0, max: 511 }), { maxLength: 3 }),
    min_tokens: fc.integer({ min: 0, max: 1 }),
    include_stop_str_in_output: fc.boolean(),
    skip_special_tokens: fc.boolean(),
    stream: fc.boolean(),
    ignore_eos: fc.boolean(),
    return_token_ids: fc.boolean(),
    return_tokens_as_token_ids: fc.boolean(),
    truncate_prompt_tokens: fc.constantFrom(-1, 1, 3),
    echo: fc.boolean(),
    prompt_logprobs: fc.constantFrom(null, 0, 3),
    add_special_tokens: fc.boolean(),
  },
  { requiredKeys: [] },
)
const GOOD: Readonly<Record<string, object>> = {
  '/v1/chat/completions': { messages: [{ role: 'user', content: 'Hi' }] },
  '/v1/completions': { prompt: ['Hi', 'you'] },
  '/tokenize': { prompt: 'Hi' },
  '/detokenize': { tokens: [1, 2, 300] },
}
const call = fc
  .tuple(fc.constantFrom(...PATHS), fc.oneof(meant, meant, junk))
  .chain(
    ([path, fields]) =>
      fc.constantFrom([path, { ...GOOD[path], ...fields }], [path, fields]) as fc.Arbitrary<[string, object]>,
  )

describe('any body', () => {
  it('is answered with success or the client’s fault', async () => {
    await fc.assert(
      fc.asyncProperty(call, async ([path, body]) => {
        const house = fakeHouse()
        house.says('One two three')
        // As JSON.stringify would, but keeping a key named __proto__.
        const response = await house.post(path, JSON.stringify(body))
        const answer = await response.text()
        expect([200, 400, 404], `${JSON.stringify(body)} got ${answer}`).toContain(response.status)
        if (response.status !== 200) {
          const { error } = JSON.parse(answer)
          expect(error).toMatchObject({ message: expect.any(String), type: expect.any(String), code: response.status })
        } else if (response.headers.get('content-type')?.startsWith('text/event-stream')) {
          expect(answer.endsWith('data: [DONE]\n\n')).toBe(true)
          expect(answer).not.toContain('InternalServerError')
        }
        expect(house.engine.running).toEqual([])
        expect(house.leases).toEqual([])
        expect(house.log.filter(({ level }) => level === 'error')).toEqual([])
      }),
      { numRuns: 1000, seed: 21 },
    )
  })

  it('of any bytes is a 400', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...PATHS), fc.uint8Array({ maxLength: 200 }), async (path, bytes) => {
        const response = await fakeHouse().post(path, '', { body: bytes as Uint8Array<ArrayBuffer> })
        expect(response.status).toBe(400)
      }),
      { numRuns: 200, seed: 22 },
    )
  })

  it('nested a hundred thousand deep is answered', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    for (const path of PATHS) {
      const body = `{"messages": ${deep}, "prompt": ${deep}, "chat_template_kwargs": {"a": ${deep}}, "x": ${deep}}`
      expect((await fakeHouse().post(path, body)).status).toBe(400)
    }
    const kwargs = `{"messages":[{"role":"user","content":"a"}],"chat_template_kwargs":{"a":${deep}}}`
    expect([200, 400]).toContain((await fakeHouse().post(PATHS[0]!, kwargs)).status)
  })
})
