/** A base with an adapter folded into it, and several adapters at once, through the front door on the device. */
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Lorikeet, MergeNotFoundError, type OpenOptions } from '../../src/lorikeet.ts'
import { reference } from '../fixtures.ts'
import { COMPOSITIONS } from '../goldens/compositions.ts'
import { certain, goldenOf } from '../goldens/golden.ts'

const MIB = 1024 * 1024
const [NAME, OTHER] = ['all-linear-r8', 'attn-r16']
const source = (name: string) => reference(`adapters/llama-tiny/${name}`)
const OPTIONS = {
  model: reference('models/llama-tiny'),
  sizes: { kvCacheMemory: 2 * MIB, loraMemory: 4 * MIB, maxNumBatchedTokens: 64, maxModelLen: 160 },
}
let root = ''
beforeAll(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'lorikeet-merged-')))
  mkdirSync(join(root, 'voices'))
  for (const name of [NAME, OTHER]) cpSync(source(name), join(root, 'voices', name), { recursive: true })
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

async function withBird<T>(options: Partial<OpenOptions>, work: (bird: Lorikeet) => Promise<T>): Promise<T> {
  const bird = await Lorikeet.open({ ...OPTIONS, ...options })
  try {
    return await work(bird)
  } finally {
    await bird.close()
  }
}

const post = (bird: Lorikeet, path: string, body: unknown): Promise<Response> =>
  bird.fetch(`http://lorikeet${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

async function say(
  bird: Lorikeet,
  prompt: readonly number[],
  body: Record<string, unknown>,
): Promise<readonly number[]> {
  const wish = { prompt, max_tokens: 20, temperature: 0, ignore_eos: true, return_token_ids: true }
  const response = await post(bird, '/v1/completions', { ...wish, ...body })
  const text = await response.text()
  expect(response.status, text).toBe(200)
  return JSON.parse(text).choices[0].token_ids
}

describe('an adapter folded into the base', () => {
  const [golden] = goldenOf(`llama-tiny/${NAME}`).cases
  const expected = certain(golden!).slice(0, 20)

  it('answers to its own name and to those of the base, and /v1/models says what it is', async () => {
    await withBird({ adapters: [{ name: NAME, source: source(NAME) }], merge: NAME }, async (bird) => {
      expect(bird.modelNames).toEqual(['llama-tiny', NAME])
      for (const model of [NAME, 'llama-tiny']) {
        expect((await say(bird, golden!.input_ids, { model })).slice(0, expected.length)).toEqual(expected)
      }
      const { data } = await (await bird.fetch('http://lorikeet/v1/models')).json()
      const { digest } = bird.runtime.merged!
      for (const [i, id] of ['llama-tiny', NAME].entries()) {
        expect(data[i]).toMatchObject({
          id,
          parent: null,
          root: `${OPTIONS.model} + ${source(NAME)}`,
          merged: { id: NAME, root: source(NAME), digest },
        })
      }
      expect(data).toHaveLength(2)
      expect(bird.adapters.list()).toEqual([])
    })
  })

  it('lets no other adapter beside it, unless it is told to', async () => {
    const other = { name: 'other', source: source(OTHER) }
    const options = { merge: { name: 'voice', source: source(NAME) }, runtimeLora: { roots: [root] } }
    await expect(withBird({ ...options, adapters: [other] }, async () => {})).rejects.toMatchObject({
      code: 'adapter_changed_base',
      param: 'accept',
      message: expect.stringContaining("with 'voice' merged into it"),
    })
    await withBird({ ...options, servedModelNames: ['a', 'b'] }, async (bird) => {
      expect(bird.modelNames).toEqual(['a', 'b', 'voice'])
      const load = { lora_name: 'other', lora_path: join(root, 'voices', OTHER) }
      for (const path of ['/v1/lora_adapters/check', '/v1/load_lora_adapter']) {
        const response = await post(bird, path, load)
        const { error } = await response.json()
        expect([response.status, error.reason, error.param]).toEqual([400, 'adapter_changed_base', 'accept'])
        expect((await post(bird, path, { ...load, accept: ['adapter_changed_base'] })).status).toBe(200)
      }
      // It is computed beside what is served, which is neither adapter alone.
      const both = await say(bird, golden!.input_ids, { model: 'other' })
      expect(both.slice(0, expected.length)).not.toEqual(expected)
      // Its name is taken, as those of the base are.
      const taken = await post(bird, '/v1/load_lora_adapter', { ...load, lora_name: 'voice' })
      expect(taken.status).toBe(409)
    })
  })

  it('may come out of the directory of adapters, whose others are then left out', async () => {
    const lines: string[] = []
    const log = (_level: string, message: string) => void lines.push(message)
    await withBird({ merge: NAME, loraDirectory: { path: join(root, 'voices') }, log }, async (bird) => {
      expect((await say(bird, golden!.input_ids, {})).slice(0, expected.length)).toEqual(expected)
      expect(bird.adapters.list()).toEqual([])
      expect(lines.join('\n')).toMatch(/attn-r16.*merged into it/)
    })
  })

  it('has to be there', async () => {
    await expect(withBird({ merge: 'nobody' }, async () => {})).rejects.toThrow(MergeNotFoundError)
    await expect(withBird({ merge: { name: 'x', source: join(root, 'gone') } }, async () => {})).rejects.toMatchObject({
      code: 'file_not_found',
    })
  })
})

describe('several adapters at once', () => {
  it('answer as PEFT does, in one batch with the base and with each alone', async () => {
    const { lora, cases } = COMPOSITIONS[0]!
    const names = lora.map(({ name }) => name)
    await withBird({ adapters: names.map((name) => ({ name, source: source(name) })) }, async (bird) => {
      const prompt = cases[1]!.input_ids
      const wishes = [{ lora }, {}, ...names.map((model) => ({ model })), { lora: lora.toReversed() }]
      const answers = await Promise.all(wishes.map((wish) => say(bird, prompt, wish)))
      const expectedHere = certain(cases[1]!)
      expect(answers[0]!.slice(0, expectedHere.length)).toEqual(expectedHere)
      expect(answers.at(-1)).toEqual(answers[0])
      expect(new Set(answers.map(String)).size).toBe(answers.length - 1)
      let text = ''
      for await (const piece of bird.chat({ lora, messages: [{ role: 'user', content: 'Hi' }], maxTokens: 4 }))
        text += piece
      expect(text).not.toBe('')
      expect(bird.adapters.status().map(({ leases, requests }) => [leases, requests])).toEqual(names.map(() => [0, 4]))
    })
  })
})
