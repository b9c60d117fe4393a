/**
 * A real chat model: SmolLM2-135M-Instruct as make_smollm2.py writes it, with two PEFT adapters beside the base, over a
 * real port, through the unmodified OpenAI client. Run with `npm run test:real-model -- FOLDER`.
 */
import { createHash } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serve } from '../../src/hosts/node/serve.ts'
import type { RunningServer } from '../../src/hosts/server.ts'
import { Lorikeet } from '../../src/lorikeet.ts'

const FOLDER = process.env.LORIKEET_REAL_MODEL ?? ''
const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

interface Answer {
  readonly question: string
  readonly input_ids: readonly number[]
  /** Ends with the end-of-sequence id, or is cut at 48 tokens. */
  readonly greedy: readonly number[]
  readonly margins: readonly number[]
  readonly logit_scale: number
  readonly text: string
}

interface Goldens {
  readonly cases: readonly Answer[]
  readonly model: { readonly 'sha256_of_model.safetensors': string }
}

const base: Goldens = JSON.parse(readFileSync(fixture('base.golden.json'), 'utf8'))
const adapters: Readonly<Record<string, readonly Answer[]>> = JSON.parse(
  readFileSync(fixture('goldens.json'), 'utf8'),
).adapters
const all = [
  ...base.cases.map((answer) => ({ model: 'base', answer })),
  ...Object.entries(adapters).flatMap(([model, answers]) => answers.map((answer) => ({ model, answer }))),
]

/** A step whose margin is below this share of the logit scale may go either way (reference README, f32). */
const OPEN_MARGIN = 2e-3
const END_OF_SEQUENCE = 2

/** Tokens before the end of the sequence and before the first open margin. */
function certain({ greedy, margins, logit_scale }: Answer): number[] {
  const open = margins.findIndex((margin) => margin < OPEN_MARGIN * logit_scale)
  return greedy.slice(0, open < 0 ? greedy.length : open).filter((token) => token !== END_OF_SEQUENCE)
}

describe('SmolLM2-135M-Instruct', () => {
  let bird: Lorikeet
  let server: RunningServer
  let client: OpenAI
  const figures: Record<string, unknown> = {}

  beforeAll(async () => {
    const hash = createHash('sha256')
    for await (const bytes of createReadStream(`${FOLDER}/model.safetensors`)) hash.update(bytes)
    expect(hash.digest('hex'), 'made by make_smollm2.py').toBe(base.model['sha256_of_model.safetensors'])
    const inHeap = () => process.memoryUsage().heapUsed + process.memoryUsage().external
    const before = inHeap()
    let peak = 0
    const start = performance.now()
    bird = await Lorikeet.open({
      model: FOLDER,
      servedModelNames: ['base'],
      adapters: Object.keys(adapters).map((name) => ({ name, source: fixture(name) })),
      sizes: { maxModelLen: 2048 },
      onProgress: () => {
        peak = Math.max(peak, inHeap() - before)
      },
    })
    figures.loadSeconds = (performance.now() - start) / 1000
    figures.loadPeakJsMiB = peak / 2 ** 20
    figures.device = bird.runtime.gpu.can.adapter
    expect(peak).toBeLessThan(100 * 2 ** 20)
    server = await serve((request) => bird.fetch(request), { port: 0 })
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
  })

  afterAll(async () => {
    await server.close({ graceMs: 0 })
    await bird.close()
    expect(bird.runtime.gpu.ledger.bytes).toBe(0)
    console.log(JSON.stringify(figures, null, 1))
  })

  /** Streams an answer; the tokens come as vLLM's `token_ids` extra. */
  async function ask(
    model: string,
    question: string,
  ): Promise<{ text: string; tokens: number[]; promptIds: number[] }> {
    const stream = await client.chat.completions.create({
      model,
      messages: [{ role: 'user', content: question }],
      temperature: 0,
      max_tokens: 48,
      stream: true,
      return_token_ids: true,
    } as OpenAI.ChatCompletionCreateParamsStreaming)
    const answer = { text: '', tokens: [] as number[], promptIds: [] as number[] }
    for await (const chunk of stream) {
      const { prompt_token_ids: promptIds } = chunk as { prompt_token_ids?: number[] }
      if (promptIds) answer.promptIds = promptIds
      const choice = chunk.choices[0] as { delta: { content?: string }; token_ids?: number[] } | undefined
      answer.text += choice?.delta.content ?? ''
      answer.tokens.push(...(choice?.token_ids ?? []))
    }
    answer.tokens = answer.tokens.filter((token) => token !== END_OF_SEQUENCE)
    return answer
  }

  it('answers every question as transformers and PEFT do, base and adapters in one batch', async () => {
    const start = performance.now()
    const answers = await Promise.all(all.map(({ model, answer }) => ask(model, answer.question)))
    const tokens = answers.reduce((sum, answer) => sum + answer.tokens.length, 0)
    figures.together = { sequences: all.length, tokens, seconds: (performance.now() - start) / 1000 }
    figures.answers = answers.map(({ text }, i) => `${all[i]!.model}: ${text}`)
    for (const [i, { tokens: got, promptIds, text }] of answers.entries()) {
      const { answer, model } = all[i]!
      const expected = certain(answer)
      expect(promptIds, answer.question).toEqual(answer.input_ids)
      expect(got.slice(0, expected.length), `${model}: ${answer.question}`).toEqual(expected)
      if (expected.length >= answer.greedy.length - 1) expect(text).toBe(answer.text.replace('<|im_end|>', ''))
    }
  })

  it('gives the same tokens alone', async () => {
    const together = await Promise.all(all.map(({ model, answer }) => ask(model, answer.question)))
    const start = performance.now()
    let tokens = 0
    for (const [i, { model, answer }] of all.entries()) {
      const alone = await ask(model, answer.question)
      tokens += alone.tokens.length
      expect(alone.tokens).toEqual(together[i]!.tokens)
    }
    figures.oneByOne = { tokens, seconds: (performance.now() - start) / 1000 }
  })
})
