/** Penalties over the course of sequences: what the device counts is what was drawn, whatever happens in between. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SamplingParams } from '../../src/engine/batch.ts'
import { Random } from '../support/random.ts'
import { sampleReference } from '../support/reference/sample.ts'
import {
  CREWS,
  GREEDY,
  MAX_SEQUENCES,
  maskOf,
  noise,
  SamplerBench,
  type SamplerRow,
  VOCAB,
} from '../support/samplerBench.ts'

/** A sequence as the engine has it. */
class TestSequence {
  readonly tokens: number[]
  readonly numPrompt: number
  readonly logits: readonly number[]
  readonly params: SamplingParams
  /** Null while it does not run. */
  register: number | null

  constructor(random: Random, params: Partial<SamplingParams>, logits: readonly number[], register: number) {
    this.register = register
    this.tokens = Array.from({ length: 1 + random.integer(40) }, () => random.integer(VOCAB))
    this.numPrompt = this.tokens.length
    this.logits = logits
    this.params = { ...GREEDY, ...params }
  }

  row(extra: Partial<SamplerRow> = {}): SamplerRow {
    const keep = this.register === null ? {} : { keep: { register: this.register, stopIds: [] } }
    const { logits, params } = this
    return { logits, params, position: this.tokens.length, history: this, ...keep, ...extra }
  }

  expected(extra: Partial<SamplerRow> = {}): number | null {
    const { logits, params, tokens, numPrompt } = this
    const { banned = [], allowed } = extra
    return sampleReference({
      logits,
      params,
      position: tokens.length,
      tokens,
      numPrompt,
      banned,
      ...(allowed ? { allowed } : {}),
    })
  }
}

/** Few likely tokens, so that they come again and again. */
function peaked(random: Random): number[] {
  const logits = noise(random.integer(1e6), 1)
  for (let i = 0; i < 12; i++) logits[random.integer(VOCAB)] = Math.fround(6 + 4 * random.next())
  return logits
}

function randomParams(random: Random): Partial<SamplingParams> {
  const one = <T>(...values: readonly T[]) => values[random.integer(values.length)]!
  return {
    temperature: one(0, 0.7, 1.2),
    topK: one(0, 20),
    topP: one(1, 0.9),
    minP: one(0, 0.02),
    seed: random.integer(2 ** 32),
    presencePenalty: one(0, 0.6, -0.3),
    frequencyPenalty: one(0, 0.4, 0.9),
    repetitionPenalty: one(1, 1.3, 0.9),
    logitBias: one(
      [],
      [{ id: 17, bias: 2 }],
      [
        { id: 3, bias: -100 },
        { id: 2500, bias: 9.5 },
      ],
    ),
  }
}

const PRESENCE: Partial<SamplingParams> = { presencePenalty: 50 }

/** Tokens from the likeliest down: what a greedy sequence draws that may not repeat itself. */
function ranking(logits: readonly number[]): number[] {
  return logits.map((_, id) => id).sort((one, other) => logits[other]! - logits[one]! || one - other)
}

describe.each(CREWS)('penalties in $name', (crew) => {
  let bench: SamplerBench
  let sequences: TestSequence[] = []
  beforeAll(async () => {
    bench = await SamplerBench.open(crew)
  })
  afterAll(() => bench.close())

  /** With the lowest register that is free. */
  const start = (random: Random, params: Partial<SamplingParams>, logits = peaked(random)) => {
    const taken = sequences.map(({ register }) => register)
    const register = Array.from({ length: MAX_SEQUENCES }, (_, i) => i).find((i) => !taken.includes(i))!
    const sequence = new TestSequence(random, params, logits, register)
    sequences.push(sequence)
    return sequence
  }
  const stopAll = () => {
    sequences = []
  }

  it('draws what a reference draws from the whole history, over random courses of many sequences', async () => {
    const random = new Random(1)
    const running: TestSequence[] = []
    for (let step = 0; step < 30; step++) {
      while (running.length < MAX_SEQUENCES) running.push(start(random, randomParams(random)))
      const chosen = running.filter(() => random.next() < 0.8)
      if (chosen.length === 0) continue
      const extras = chosen.map(
        (): Partial<SamplerRow> =>
          random.next() < 0.2 ? { banned: [random.integer(VOCAB)], allowed: maskOf(Array(VOCAB).keys()) } : {},
      )
      const drawn = await bench.run(chosen.map((sequence, i) => sequence.row(extras[i])))
      for (const [i, { token }] of drawn.entries()) {
        expect(token, `sequence ${i} in step ${step}`).toBe(chosen[i]!.expected(extras[i]))
        chosen[i]!.tokens.push(token!)
      }
      for (const sequence of chosen) {
        if (random.next() > 0.08) continue
        sequence.register = null
        running.splice(running.indexOf(sequence), 1)
      }
    }
    stopAll()
  })

  it('counts tokens that the CPU has not read', async () => {
    const sequence = start(new Random(2), PRESENCE)
    const order = ranking(sequence.logits)
    const position = sequence.tokens.length
    await bench.run([sequence.row()])
    for (let ahead = 1; ahead < 7; ahead++) bench.submit([sequence.row({ position: position + ahead })])
    expect(sequence.tokens.length).toBe(position)
    const [eighth] = await bench.again([sequence.row({ position: position + 7 })])
    expect(eighth!.token).toBe(order[7])
    stopAll()
  })

  it('begins anew where a sequence was computed again, forgetting what was drawn in vain', async () => {
    const sequence = start(new Random(3), PRESENCE)
    const order = ranking(sequence.logits)
    const position = sequence.tokens.length
    await bench.run([sequence.row()])
    for (let ahead = 1; ahead < 4; ahead++) bench.submit([sequence.row({ position: position + ahead })])
    sequence.tokens.push(order[0]!, order[1]!)
    const [third] = await bench.again([sequence.row()])
    expect(third!.token).toBe(order[2])
    stopAll()
  })

  it('counts anew where a register changes its owner, and takes its owner back', async () => {
    const random = new Random(4)
    const all = Array.from({ length: MAX_SEQUENCES + 7 }, () => new TestSequence(random, PRESENCE, peaked(random), 0))
    for (let turn = 0; turn < 4; turn++) {
      const order = random.permutation(all.length).slice(0, MAX_SEQUENCES)
      const chosen = order.map((i) => all[i]!)
      for (const [i, sequence] of chosen.entries()) sequence.register = i
      const drawn = await bench.run(chosen.map((sequence) => sequence.row()))
      for (const [i, sequence] of chosen.entries()) {
        expect(drawn[i]!.token).toBe(sequence.expected())
        sequence.tokens.push(drawn[i]!.token!)
      }
    }
  })

  it('refuses penalties without a history or a register, and behind tokens that nobody knows', async () => {
    const sequence = start(new Random(5), PRESENCE)
    const { history: _, ...orphan } = sequence.row()
    expect(() => bench.submit([orphan])).toThrow(/without the tokens of its sequence/)
    const { keep: __, ...homeless } = sequence.row()
    expect(() => bench.submit([homeless])).toThrow(/without the tokens of its sequence/)
    await bench.run([sequence.row()])
    expect(() => bench.submit([sequence.row({ position: sequence.tokens.length + 5 })])).toThrow(/not all known/)
    stopAll()
  })

  it('costs nothing where it is not asked for, and one write when a sequence begins', async () => {
    const random = new Random(6)
    const plain = { logits: peaked(random), params: { temperature: 0.8, topP: 0.9 } }
    const penalised = Array.from({ length: 17 }, () => start(random, PRESENCE))
    await bench.run(Array.from({ length: 18 }, () => plain))
    const cost = (rows: readonly SamplerRow[]) => {
      const before = bench.gpu.counters.snapshot()
      bench.submit(rows)
      const { dispatches, uploads, passes, buffersCreated, bindGroupsCreated } = bench.gpu.counters.since(before)
      expect({ passes, buffersCreated, bindGroupsCreated }).toEqual({
        passes: 1,
        buffersCreated: 0,
        bindGroupsCreated: 0,
      })
      return { dispatches, uploads }
    }
    expect(cost([plain, plain])).toEqual({ dispatches: 1, uploads: 1 })
    expect(cost([penalised[0]!.row()])).toEqual({ dispatches: 2, uploads: 2 })
    const next = (sequence: TestSequence) => sequence.row({ position: sequence.tokens.length + 1 })
    expect(cost([next(penalised[0]!), plain])).toEqual({ dispatches: 3, uploads: 1 })
    expect(cost(penalised.slice(1).map((sequence) => sequence.row()))).toEqual({ dispatches: 2, uploads: 17 })
    const second = penalised[0]!.row({ position: penalised[0]!.tokens.length + 2 })
    expect(cost([second, ...penalised.slice(1).map(next), plain])).toEqual({ dispatches: 5, uploads: 1 })
    stopAll()
  })
})
