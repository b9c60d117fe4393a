/**
 * Drawn tokens have the exact probabilities, for each parameter and for mixtures. Power: the same draws are held against
 * a distribution that is a little off (`wrong` says how) and must refute it, as they would with a probability above
 * 0.9999; so a sampler with that fault, or one that leaves the parameter out, would fail.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isAdjusted } from '../../src/engine/adjustmentOf.ts'
import type { SamplingParams } from '../../src/engine/batch.ts'
import { chiSquare, wouldRefute } from '../support/chiSquare.ts'
import { keptTokens } from '../support/reference/sample.ts'
import { CREWS, few, GREEDY, MAX_ROWS, MAX_SEQUENCES, maskOf, SamplerBench } from '../support/samplerBench.ts'

interface Case {
  readonly name: string
  readonly params: Partial<SamplingParams>
  readonly wrong: Partial<SamplingParams>
  readonly banned?: readonly number[]
  readonly allowed?: Uint32Array
}

/** Sixteen tokens to draw, neither sorted nor all different, some negative. */
const LOGITS = few(1.2, 0.4, -0.3, 2.1, 1.7, -1.1, 0.4, 0.9, 1.9, -0.6, 0.1, 1.2, -2.2, 2.0, 0.7, -0.1)
/** 3, 8, 13 and 0 are in the prompt; 8 was generated once, 4 three times, 10 twice. */
const TOKENS = [3, 8, 13, 8, 0, 4, 8, 4, 10, 10, 4]
const NUM_PROMPT = 5
const ONE_TO_NINE = maskOf([1, 2, 3, 4, 5, 6, 7, 8, 9])

const EVERYTHING: Partial<SamplingParams> = {
  temperature: 1.3,
  minP: 0.05,
  topK: 10,
  topP: 0.95,
  presencePenalty: 0.4,
  frequencyPenalty: 0.3,
  repetitionPenalty: 1.2,
  logitBias: [
    { id: 0, bias: -0.5 },
    { id: 5, bias: 2.5 },
    { id: 10, bias: 1 },
    { id: 12, bias: -100 },
  ],
}

const CASES: readonly Case[] = [
  { name: 'temperature below 1', params: { temperature: 0.7 }, wrong: { temperature: 0.9 } },
  { name: 'temperature above 1', params: { temperature: 1.6 }, wrong: { temperature: 1.2 } },
  { name: 'top-k', params: { topK: 6 }, wrong: { topK: 7 } },
  { name: 'top-p', params: { topP: 0.8 }, wrong: { topP: 0.88 } },
  { name: 'min-p', params: { minP: 0.3 }, wrong: { minP: 0.2 } },
  { name: 'top-k, then top-p', params: { topK: 8, topP: 0.7 }, wrong: { topK: 0, topP: 0.7 } },
  { name: 'min-p, then top-p', params: { minP: 0.25, topP: 0.8 }, wrong: { minP: 0, topP: 0.8 } },
  {
    name: 'temperature, then min-p, top-k and top-p',
    params: { temperature: 1.8, minP: 0.15, topK: 11, topP: 0.9 },
    wrong: { temperature: 1.8, minP: 0.15, topK: 11, topP: 1 },
  },
  { name: 'presence penalty', params: { presencePenalty: 1 }, wrong: { presencePenalty: 0.4 } },
  { name: 'frequency penalty', params: { frequencyPenalty: 0.5 }, wrong: { frequencyPenalty: 0.2 } },
  { name: 'negative penalties', params: { presencePenalty: -0.6, frequencyPenalty: -0.2 }, wrong: {} },
  { name: 'repetition penalty', params: { repetitionPenalty: 1.5 }, wrong: { repetitionPenalty: 1.1 } },
  { name: 'repetition penalty below 1', params: { repetitionPenalty: 0.7 }, wrong: { repetitionPenalty: 0.85 } },
  { name: 'logit bias', params: { logitBias: [{ id: 2, bias: 1.5 }] }, wrong: { logitBias: [{ id: 2, bias: 0.7 }] } },
  { name: 'a mask and banned ids', params: {}, wrong: { topK: 6 }, allowed: ONE_TO_NINE, banned: [4, 1] },
  {
    name: 'everything',
    params: EVERYTHING,
    wrong: { ...EVERYTHING, repetitionPenalty: 1 },
    banned: [7],
  },
]

describe.each(CREWS.slice(0, 2))('distribution of draws in $name', (crew) => {
  let bench: SamplerBench
  beforeAll(async () => {
    bench = await SamplerBench.open(crew)
  })
  afterAll(() => bench.close())

  it.each(CASES)('has exact probabilities with $name', async ({ params, wrong, banned = [], allowed }) => {
    const sample = { ...GREEDY, temperature: 1, ...params }
    const row = { logits: LOGITS, position: TOKENS.length, banned, ...(allowed ? { allowed } : {}) }
    const perStep = isAdjusted({ ...row, sample }) ? MAX_SEQUENCES : MAX_ROWS
    const histories = Array.from({ length: perStep }, () => ({ tokens: TOKENS, numPrompt: NUM_PROMPT }))
    const rowsFrom = (first: number) =>
      histories.map((history, register) => {
        const params = { ...sample, seed: first + register }
        return { ...row, history, keep: { register, stopIds: [] }, params }
      })
    const drawn = (await bench.run(rowsFrom(0))).map(({ token }) => token!)
    while (drawn.length < 4000) {
      drawn.push(...(await bench.again(rowsFrom(drawn.length))).map(({ token }) => token!))
    }

    const reference = { ...row, tokens: TOKENS, numPrompt: NUM_PROMPT }
    const exact = keptTokens({ ...reference, params: sample })
    const right = chiSquare(drawn, exact)
    expect(right.statistic).toBeLessThan(right.critical)
    const other = keptTokens({ ...reference, params: { ...GREEDY, temperature: 1, ...wrong } })
    expect(wouldRefute(drawn.length, exact, other)).toBe(true)
    const refuted = chiSquare(drawn, other)
    expect(refuted.statistic).toBeGreaterThan(refuted.critical)
  })
})
